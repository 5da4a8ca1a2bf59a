/// What libwebp takes for the prefix codes of a VP8L bitstream: thousands of groups of tables, if the file says so in a
/// few bits each. The transforms before the place that tells how many there may be are read and skipped.
///
/// Source: RFC 9649, §3 (WebP Lossless Bitstream); sizes by libwebp's `vp8l_dec.c` and `huffman_utils.h`.
struct WebPPrefixCodes {
    /// The most groups that there may be.
    let groupCount: Int
    /// Bits of the index into the colour cache, 0 for none.
    let cacheBits: Int

    /// - Parameters:
    ///   - width: pixels in a row.
    ///   - stream: behind a VP8L's signature and size, or behind the first byte of an ALPH chunk.
    init(width: Int, height: Int, stream: UnsafeRawBufferPointer) {
        var reader = WebPStreamReader(stream)
        // Where it cannot be read libwebp comes no further either, but that is not relied on.
        var (blockCount, cacheBits) = (Self.blockCount(width, height, blockBits: 2), 11)
        do throws(WebPStreamReader.Failure) {
            let width = try reader.skipTransforms(width, height)
            let bits = try reader.cacheBits()
            blockCount =
                try reader.bits(1) == 0 ? 0 : Self.blockCount(width, height, blockBits: try reader.bits(3) + 2)
            cacheBits = bits
        } catch {}
        // Up to a thousand groups libwebp keeps those, too, that no block uses.
        groupCount = blockCount == 0 ? 1 : min(max(1000, blockCount), 1 << 16)
        self.cacheBits = cacheBits
    }

    static func blockCount(_ width: Int, _ height: Int, blockBits: Int) -> Int {
        let side = 1 << blockBits
        return (width + side - 1) / side * ((height + side - 1) / side)
    }

    /// Bytes of all tables, at most.
    ///
    /// - Parameter fileByteCount: a group is written in 20 bits or more; each bit pays for no more than 285 bytes.
    func byteCount(fileByteCount: Int) -> Int {
        // Entries of 4 bytes: `kTableSize`; then an `HTreeGroup`.
        let group = 4 * (2956 + 1 << cacheBits) + 568
        let most = groupCount * group
        let (written, overflow) = fileByteCount.multipliedReportingOverflow(by: 8 * 285)
        // Of many, one more in place of all that no block uses, and which is which.
        let unused = groupCount > 1 ? group + 1 << 18 : 0
        return (overflow ? most : min(most, written)) + unused
    }
}

/// Reads the bits of a VP8L stream, as far as they must be understood to be skipped.
private struct WebPStreamReader {
    /// The stream ends early or is wrong.
    struct Failure: Error {}

    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The next bits, the first being the least significant.
    mutating func bits(_ count: Int) throws(Failure) -> Int {
        guard position + count <= bytes.count * 8 else { throw Failure() }
        var value = 0
        for bit in 0..<count {
            value |= Int(bytes[position >> 3] >> UInt8(position & 7) & 1) << bit
            position += 1
        }
        return value
    }

    /// Returns the width that the image has before the transforms are undone.
    mutating func skipTransforms(_ width: Int, _ height: Int) throws(Failure) -> Int {
        var width = width
        var seen: Set<Int> = []
        while try bits(1) == 1 {
            let kind = try bits(2)
            guard seen.insert(kind).inserted else { throw Failure() }
            switch kind {
            // Predictors, colours: one a block.
            case 0, 1:
                try skipImage(WebPPrefixCodes.blockCount(width, height, blockBits: try bits(3) + 2))
            // Green is taken off: nothing to tell.
            case 2: break
            // A palette: of few colours, several pixels are one.
            default:
                let colours = try bits(8) + 1
                let packing = colours > 16 ? 0 : colours > 4 ? 1 : colours > 2 ? 2 : 3
                width = (width + 1 << packing - 1) >> packing
                try skipImage(colours)
            }
        }
        return width
    }

    mutating func cacheBits() throws(Failure) -> Int {
        guard try bits(1) == 1 else { return 0 }
        let count = try bits(4)
        guard 1...11 ~= count else { throw Failure() }
        return count
    }

    /// Skips an image that has one group of codes.
    private mutating func skipImage(_ pixelCount: Int) throws(Failure) {
        let cacheBits = try cacheBits()
        let green = try code(256 + 24 + (cacheBits > 0 ? 1 << cacheBits : 0))
        let others = [try code(256), try code(256), try code(256)]
        let distance = try code(40)
        var left = pixelCount
        while left > 0 {
            let (before, start) = (left, position)
            let value = try symbol(of: green)
            left -= 1
            if value < 256 {
                for other in others { _ = try symbol(of: other) }
            } else if value < 256 + 24 {
                left -= try prefixed(value - 256)
                _ = try prefixed(symbol(of: distance))
            }
            // What takes no bits is followed by the like of it: a few bytes must not cost a turn for each pixel.
            if position == start { left %= before - left }
        }
        guard left == 0 else { throw Failure() }
    }

    /// A length or a distance, less 1, by its prefix.
    private mutating func prefixed(_ symbol: Int) throws(Failure) -> Int {
        guard symbol >= 4 else { return symbol }
        let extra = (symbol - 2) >> 1
        return (2 + symbol & 1) << extra + (try bits(extra))
    }

    // MARK: Prefix codes

    /// A canonical code: how many symbols have each length, and the symbols by length, then value.
    private struct Code {
        var counts = [Int](repeating: 0, count: 16)
        var symbols: [Int] = []

        init(lengths: [Int]) throws(Failure) {
            for length in lengths where length > 0 { counts[length] += 1 }
            for length in 1...15 where counts[length] > 0 {
                symbols += lengths.indices.filter { lengths[$0] == length }
            }
            let space = (1...15).reduce(0) { $0 + counts[$1] << (15 - $1) }
            guard symbols.count == 1 || space == 1 << 15 else { throw Failure() }
        }
    }

    private mutating func symbol(of code: Code) throws(Failure) -> Int {
        // A symbol that is alone takes no bits.
        guard code.symbols.count > 1 else { return code.symbols[0] }
        var (value, first, index) = (0, 0, 0)
        for length in 1...15 {
            value = value << 1 | (try bits(1))
            let count = code.counts[length]
            if value - first < count { return code.symbols[index + value - first] }
            index += count
            first = (first + count) << 1
        }
        throw Failure()
    }

    private mutating func code(_ symbolCount: Int) throws(Failure) -> Code {
        var lengths = [Int](repeating: 0, count: max(symbolCount, 256))
        if try bits(1) == 1 {
            let count = try bits(1) + 1
            lengths[try bits(try bits(1) == 1 ? 8 : 1)] = 1
            if count == 2 { lengths[try bits(8)] = 1 }
            return try Code(lengths: Array(lengths[..<symbolCount]))
        }
        var lengthLengths = [Int](repeating: 0, count: 19)
        let order = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
        for symbol in order.prefix(try bits(4) + 4) { lengthLengths[symbol] = try bits(3) }
        let lengthCode = try Code(lengths: lengthLengths)
        var left = try bits(1) == 0 ? symbolCount : 2 + (try bits(2 + 2 * (try bits(3))))
        guard left <= symbolCount else { throw Failure() }
        var (next, previous) = (0, 8)
        while next < symbolCount, left > 0 {
            left -= 1
            let length = try symbol(of: lengthCode)
            guard length >= 16 else {
                lengths[next] = length
                next += 1
                if length > 0 { previous = length }
                continue
            }
            let count = length == 18 ? 11 + (try bits(7)) : 3 + (try bits(length == 17 ? 3 : 2))
            guard next + count <= symbolCount else { throw Failure() }
            if length == 16 { for index in next..<next + count { lengths[index] = previous } }
            next += count
        }
        return try Code(lengths: Array(lengths[..<symbolCount]))
    }
}
