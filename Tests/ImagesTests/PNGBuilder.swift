/// A PNG put together chunk by chunk, right or wrong, of any type that the format has.
struct PNGBuilder {
    private(set) var bytes: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    /// - Parameter colourType: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
    init(width: Int, height: Int, bitDepth: UInt8 = 8, colourType: UInt8 = 2) {
        append("IHDR", bigEndian(width) + bigEndian(height) + [bitDepth, colourType, 0, 0, 0])
    }

    /// A whole file: each row of `rows` is one scan line, stored without filter and without compression.
    init(
        width: Int, bitDepth: UInt8 = 8, colourType: UInt8, before chunks: [(String, [UInt8])] = [], rows: [[UInt8]]
    ) {
        self.init(width: width, height: rows.count, bitDepth: bitDepth, colourType: colourType)
        for (type, content) in chunks { append(type, content) }
        append("IDAT", stored(rows.flatMap { [0] + $0 }))
        append("IEND", [])
    }

    mutating func append(_ type: String, _ content: [UInt8]) {
        let checked = Array(type.utf8) + content
        bytes += bigEndian(content.count) + checked + bigEndian(Int(crc32(checked)))
    }
}

func bigEndian(_ value: Int) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
}

/// A zlib stream of one stored block: at most 65,535 bytes.
func stored(_ content: [UInt8]) -> [UInt8] {
    let count = UInt16(content.count)
    var (a, b) = (UInt32(1), UInt32(0))
    for byte in content {
        a = (a + UInt32(byte)) % 65_521
        b = (b + a) % 65_521
    }
    let length = [UInt8(count & 0xFF), UInt8(count >> 8), UInt8(~count & 0xFF), UInt8(~count >> 8)]
    return [0x78, 0x01, 1] + length + content + bigEndian(Int(b << 16 | a))
}

/// A zlib stream that inflates to about `count` zeros and is 159 times shorter. It ends after the last of them as if it
/// had been cut.
func deflatedZeros(_ count: Int) -> [UInt8] {
    // A block with the fixed codes: a zero, then again and again "258 bytes from 1 byte back", which is 13 bits. Bits
    // enter each byte from its low end, codes with their high bit first (RFC 1951, 3.1.1).
    let again: [UInt8] = [1, 1, 0, 0, 0, 1, 0, 1] + [0, 0, 0, 0, 0]
    func packed(_ bits: [UInt8]) -> [UInt8] {
        stride(from: 0, to: bits.count, by: 8).map { start in
            (0..<8).reduce(0) { $0 | bits[start + $1] << UInt8($1) }
        }
    }
    // 1 bit "last block", 2 bits "fixed codes", 8 bits the zero, then 13-bit codes to the end of a byte.
    let opening: [UInt8] = [1, 1, 0] + [0, 0, 1, 1, 0, 0, 0, 0] + again
    let period = packed(Array(repeating: again, count: 8).flatMap { $0 })
    let repeats = Array(repeating: period, count: count / (8 * 258)).flatMap { $0 }
    return [0x78, 0x01] + packed(opening) + repeats
}

/// The checksum of a chunk's type and content (ISO/IEC 15948, annex D).
private func crc32(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~0) { crc, byte in
        table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8
    }
}

private let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ value >> 1 : value >> 1 }
}
