/// A lossless WebP put together bit by bit: as many groups of prefix codes as it says, each of one symbol, which takes
/// no bits; so all of its pixels are of one colour.
struct WebPBuilder {
    private var stream: [UInt8] = []
    private var bitCount = 0

    /// - Parameters:
    ///   - blockBits: the logarithm of the side of the blocks that have a group each, 2 to 9.
    ///   - cacheBits: of the colour cache, 1 to 11, or 0 for none.
    ///   - transform: whether a table of predictors comes first.
    ///   - transformBits: the logarithm of the side of its blocks.
    init(side: Int, blockBits: Int, cacheBits: Int, transform: Bool = false, transformBits: Int = 9) {
        append(0x2F, 8)
        for _ in 0..<2 { append(side - 1, 14) }
        append(0, 4)
        if transform {
            append(0b001, 3)
            append(transformBits - 2, 3)
            append(0, 1)
            for _ in 0..<5 { appendCode() }
        }
        append(0, 1)
        append(cacheBits > 0 ? 1 : 0, 1)
        if cacheBits > 0 { append(cacheBits, 4) }
        append(1, 1)
        append(blockBits - 2, 3)
        let across = (side + 1 << blockBits - 1) >> blockBits
        appendGroups(across * across)
    }

    /// The image that tells each block's group, by its red and its green, and then the groups.
    private mutating func appendGroups(_ blockCount: Int) {
        append(0, 1)
        appendCode(ofAllBytesAmong: 280)
        appendCode(ofAllBytesAmong: 256)
        for _ in 0..<3 { appendCode() }
        for block in 0..<blockCount {
            for byte in [block & 0xFF, block >> 8 & 0xFF] {
                for bit in (0..<8).reversed() { append(byte >> bit & 1, 1) }
            }
        }
        for _ in 0..<min(blockCount, 1 << 16) {
            for _ in 0..<5 { appendCode() }
        }
    }

    /// The symbol 0 alone.
    private mutating func appendCode() { append(0b0001, 4) }

    /// The bytes, each by 8 bits.
    private mutating func appendCode(ofAllBytesAmong count: Int) {
        append(0, 1)
        append(12 - 4, 4)
        // Of the lengths 17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8 there are 0 and 8, a bit each.
        for index in 0..<12 { append([2, 11].contains(index) ? 1 : 0, 3) }
        append(0, 1)
        for symbol in 0..<count { append(symbol < 256 ? 1 : 0, 1) }
    }

    private mutating func append(_ value: Int, _ count: Int) {
        for bit in 0..<count {
            if bitCount & 7 == 0 { stream.append(0) }
            stream[bitCount >> 3] |= UInt8(value >> bit & 1) << UInt8(bitCount & 7)
            bitCount += 1
        }
    }

    var bytes: [UInt8] {
        let padded = stream + [UInt8](repeating: 0, count: 16 + stream.count & 1)
        func length(_ count: Int) -> [UInt8] { bigEndian(count).reversed() }
        return Array("RIFF".utf8) + length(12 + padded.count) + Array("WEBPVP8L".utf8) + length(padded.count) + padded
    }
}
