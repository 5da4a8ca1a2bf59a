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
/// Each block is a partial sum, added to those before it.
struct ReductionBlocking: Sendable, Equatable {
    /// Runs of inputs, in the order of the packed weights.
    let segments: [Segment]
    /// Ranges of `segments`, each with its number of inputs.
    let blocks: [Block]

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

    /// Inputs in the whole sum.
    var count: Int { segments.reduce(0) { $0 + $1.length } }

    /// - Parameters:
    ///   - kernel: rows and columns of the window.
    ///   - source: the map that the window lies over.
    ///   - vectors: of the register tile: a block holds `vectors` · 16 weights for each input.
    init(kernel: Extent, over source: MapLayout, vectors: Int, caches: CacheSizes) {
        // Half of the first-level cache for weights leaves the other half to the inputs and the outputs.
        let limit = max(caches.level1 / 2 / (vectors * KernelTable.lanes * MemoryLayout<Float>.stride), 16)
        // Where nothing lies between two columns a whole kernel row is one run.
        let joinsColumns = source.channels == source.columnStride
        let length = joinsColumns ? kernel.width * source.channels : source.channels
        let columns = joinsColumns ? 1 : kernel.width
        // Cut a long run into equal pieces, so that no block is left with a few inputs only.
        let pieces = (length + limit - 1) / limit

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

        var blocks: [Block] = []
        var first = 0
        var start = 0
        var count = 0
        for (index, segment) in segments.enumerated() {
            if count > 0, count + segment.length > limit {
                blocks.append(Block(segments: first..<index, start: start, count: count))
                first = index
                start += count
                count = 0
            }
            count += segment.length
        }
        blocks.append(Block(segments: first..<segments.count, start: start, count: count))
        for block in blocks { segments[block.segments.upperBound - 1].endsSum = true }
        self.segments = segments
        self.blocks = blocks
    }
}
