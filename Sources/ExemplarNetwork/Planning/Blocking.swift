import Glibc
import KernelInterface

/// The caches that blocking is chosen for, in bytes, of one core.
struct CacheSizes: Sendable, Equatable {
    var level1: Int
    var level2: Int

    /// As the system reports them; where it does not, the least that a server CPU of the last ten years has.
    static let current = CacheSizes(
        level1: reported(Int32(_SC_LEVEL1_DCACHE_SIZE), least: 32 << 10),
        level2: reported(Int32(_SC_LEVEL2_CACHE_SIZE), least: 256 << 10))

    private static func reported(_ name: Int32, least: Int) -> Int {
        max(sysconf(name), least)
    }
}

/// How a sum over a window is cut into blocks whose weights stay in the first-level cache while every output pixel of
/// an image passes over them.
///
/// A block is one partial sum or several, each added to those before it. Where a sum ends depends on the window and on
/// the instruction set's register tile alone, never on the caches: bits are the same on every machine that has the set.
struct ReductionBlocking: Sendable, Equatable {
    /// Runs of inputs, in the order of the packed weights.
    let segments: [Segment]
    /// Ranges of `segments`, each with its number of inputs.
    let blocks: [Block]
    /// Inputs in the whole sum.
    let count: Int

    struct Block: Sendable, Equatable {
        let segments: Range<Int>
        /// Inputs before this block, and in it.
        let start: Int
        let count: Int

        init(segments: Range<Int>, start: Int, count: Int) {
            self.segments = segments
            self.start = start
            self.count = count
        }

        /// Neighbouring blocks as one.
        init(joining blocks: ArraySlice<Block>) {
            self.init(
                segments: (blocks.first?.segments.lowerBound ?? 0)..<(blocks.last?.segments.upperBound ?? 0),
                start: blocks.first?.start ?? 0, count: blocks.reduce(0) { $0 + $1.count })
        }
    }

    /// - Parameters:
    ///   - kernel: rows and columns of the window.
    ///   - source: the map that the window lies over.
    ///   - vectors: of the register tile: a block holds `vectors` · 16 weights for each input.
    init(kernel: Extent, over source: MapLayout, vectors: Int, caches: CacheSizes) {
        // Half of the first-level cache for weights leaves the other half to the inputs and the outputs. No server CPU
        // of the last ten years has less than 32 KiB, so that a sum's weights fit.
        let weightBytes = vectors * KernelTable.lanes * MemoryLayout<Float>.stride
        let sum = max((32 << 10) / 2 / weightBytes, 16)
        let limit = max(caches.level1 / 2 / weightBytes, sum)
        // Where nothing lies between two columns a whole kernel row is one run.
        let joinsColumns = source.channels == source.columnStride
        let length = joinsColumns ? kernel.width * source.channels : source.channels
        let columns = joinsColumns ? 1 : kernel.width
        // Cut a long run into equal pieces, so that no sum is left with a few inputs only.
        let pieces = (length + sum - 1) / sum

        var segments: [Segment] = []
        for row in 0..<kernel.height {
            for column in 0..<columns {
                let offset = row * source.rowStride + column * source.columnStride
                for piece in 0..<pieces {
                    let start = piece * length / pieces
                    let end = (piece + 1) * length / pieces
                    segments.append(Segment(offset: offset + start, length: end - start, endsSum: false))
                }
            }
        }

        let sums = Self.joined(segments.map { Block(segments: 0..<1, start: 0, count: $0.length) }, atMost: sum)
        for sum in sums { segments[sum.segments.upperBound - 1].endsSum = true }
        self.segments = segments
        count = kernel.height * kernel.width * source.channels
        blocks = Self.joined(sums, atMost: limit)
    }

    /// Neighbours joined for as long as they have no more than `limit` inputs together.
    private static func joined(_ parts: [Block], atMost limit: Int) -> [Block] {
        var result: [Block] = []
        for part in parts {
            let segments = result.last?.segments.upperBound ?? 0
            let start = result.last.map { $0.start + $0.count } ?? 0
            if let last = result.last, last.count + part.count <= limit {
                result[result.count - 1] = Block(
                    segments: last.segments.lowerBound..<segments + part.segments.count, start: last.start,
                    count: last.count + part.count)
            } else {
                result.append(
                    Block(segments: segments..<segments + part.segments.count, start: start, count: part.count))
            }
        }
        return result
    }
}
