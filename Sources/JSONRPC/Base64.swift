/// Why a base64 string was refused.
public enum Base64Error: Error, Equatable, Sendable {
    /// The number of characters is not a multiple of four.
    case length(characterCount: Int)
    /// The character at this place (JSON escapes counted as one) is not of the standard alphabet, or is padding before
    /// the end.
    case character(offset: Int)
    /// The last character holds bits that no byte takes, so it is not what an encoder writes.
    case trailingBits
    /// The string holds this many bytes, more than there is room for.
    case capacity(byteCount: Int)

    /// A clause that completes "this entry ...".
    public var explanation: String {
        switch self {
        case .length(let count):
            "has \(count) base64 characters, which is not a multiple of four; pad it with '='"
        case .character(let offset):
            "is not base64 of the standard alphabet: look at character \(offset), counted from 0"
        case .trailingBits:
            "ends in a base64 character with stray bits; encode it again"
        case .capacity(let count):
            "holds \(count) bytes, more than expected"
        }
    }
}

/// Base64 with the standard alphabet and padding (RFC 4648 §4), strict: one string for each run of bytes.
public enum Base64 {
    /// The characters that encode `byteCount` bytes.
    public static func encodedCount(_ byteCount: Int) -> Int { (byteCount + 2) / 3 * 4 }

    /// Decodes `text` into the front of `output` and returns the number of bytes. On an error the contents of `output`
    /// are unspecified; nothing outside it is ever written.
    public static func decode(
        _ text: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(Base64Error) -> Int {
        guard text.count & 3 == 0 else { throw .length(characterCount: text.count) }
        guard text.count > 0, let source = text.baseAddress else { return 0 }
        let pad = UInt8(ascii: "=")
        let padding = text[text.count - 1] != pad ? 0 : text[text.count - 2] != pad ? 1 : 2
        let byteCount = text.count / 4 * 3 - padding
        guard byteCount <= output.count, let target = output.baseAddress else {
            // A character that is not base64 is the better news, whatever the length.
            if let offset = firstInvalid(text, characterCount: text.count - padding) {
                throw .character(offset: offset)
            }
            throw .capacity(byteCount: byteCount)
        }
        var read = 0
        var written = 0
        var bad: UInt32 = 0
        // The last group, which may be padded, is decoded byte by byte below.
        decodeTables.withUnsafeBufferPointer { tables in
            guard let table = tables.baseAddress else { return }
            let groups = text.count / 4 - 1
            let pairs = min(groups / 2, max(0, (output.count - 8) / 6 + (output.count >= 8 ? 1 : 0)))
            for _ in 0..<pairs {
                let word = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: read, as: UInt64.self))
                let first = group(UInt32(truncatingIfNeeded: word), table)
                let second = group(UInt32(truncatingIfNeeded: word >> 32), table)
                bad |= first | second
                let bytes = UInt64(first) & 0xFF_FFFF | UInt64(second) << 24
                target.storeBytes(of: bytes.littleEndian, toByteOffset: written, as: UInt64.self)
                read += 8
                written += 6
            }
            while read < text.count - 4 {
                let word = UInt32(littleEndian: source.loadUnaligned(fromByteOffset: read, as: UInt32.self))
                let value = group(word, table)
                bad |= value
                target.storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: written, as: UInt8.self)
                target.storeBytes(of: UInt8(truncatingIfNeeded: value >> 8), toByteOffset: written + 1, as: UInt8.self)
                target.storeBytes(of: UInt8(truncatingIfNeeded: value >> 16), toByteOffset: written + 2, as: UInt8.self)
                read += 4
                written += 3
            }
        }
        if bad >> 24 != 0 || firstInvalid(text, from: read, characterCount: text.count - padding) != nil {
            throw .character(offset: firstInvalid(text, characterCount: text.count - padding) ?? 0)
        }
        var last: UInt32 = 0
        for index in read..<text.count {
            last = last << 6 | (index < text.count - padding ? UInt32(sextet(text[index])) : 0)
        }
        guard last & (padding == 0 ? 0 : padding == 1 ? 0xFF : 0xFFFF) == 0 else { throw .trailingBits }
        for index in 0..<(3 - padding) {
            target.storeBytes(
                of: UInt8(truncatingIfNeeded: last >> (16 - 8 * UInt32(index))), toByteOffset: written, as: UInt8.self)
            written += 1
        }
        return written
    }

    /// Writes the base64 of `bytes` to the front of `output`, which has room for `encodedCount(bytes.count)`
    /// characters, and returns their number; 0 where it has not.
    public static func encode(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        let count = encodedCount(bytes.count)
        guard count > 0, output.count >= count, let source = bytes.baseAddress, let target = output.baseAddress else {
            return 0
        }
        encodeTable.withUnsafeBufferPointer { pairs in
            guard let pair = pairs.baseAddress else { return }
            var read = 0
            var written = 0
            while read + 3 <= bytes.count {
                let value =
                    Int(source.load(fromByteOffset: read, as: UInt8.self)) << 16
                    | Int(source.load(fromByteOffset: read + 1, as: UInt8.self)) << 8
                    | Int(source.load(fromByteOffset: read + 2, as: UInt8.self))
                let text = UInt32(pair[value >> 12]) | UInt32(pair[value & 0xFFF]) << 16
                target.storeBytes(of: text.littleEndian, toByteOffset: written, as: UInt32.self)
                read += 3
                written += 4
            }
            guard read < bytes.count else { return }
            let hasTwo = bytes.count - read == 2
            let value = Int(bytes[read]) << 16 | (hasTwo ? Int(bytes[read + 1]) << 8 : 0)
            let equals = UInt32(UInt8(ascii: "="))
            var text = UInt32(pair[value >> 12]) | UInt32(pair[value & 0xFFF]) << 16
            text = text & 0x00FF_FFFF | equals << 24
            if !hasTwo { text = text & 0xFF00_FFFF | equals << 16 }
            target.storeBytes(of: text.littleEndian, toByteOffset: written, as: UInt32.self)
        }
        return count
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// Two characters for each twelve bits, the first in the low byte.
    private static let encodeTable: [UInt16] = (0..<4096).map {
        UInt16(alphabet[$0 >> 6]) | UInt16(alphabet[$0 & 63]) << 8
    }

    /// Four tables of 256: what a character in place 0 ... 3 of its group adds to the group's three bytes, the first
    /// byte lowest. A character outside the alphabet sets the top byte.
    private static let decodeTables: [UInt32] = {
        var tables = [UInt32](repeating: 0xFF00_0000, count: 1024)
        for (index, character) in alphabet.enumerated() {
            for place in 0..<4 {
                let bits = UInt32(index) << (18 - 6 * UInt32(place))
                tables[256 * place + Int(character)] = bits >> 16 | bits & 0xFF00 | (bits & 0xFF) << 16
            }
        }
        return tables
    }()

    @inline(__always)
    private static func group(_ word: UInt32, _ table: UnsafePointer<UInt32>) -> UInt32 {
        table[Int(word & 0xFF)] | table[256 + Int(word >> 8 & 0xFF)] | table[512 + Int(word >> 16 & 0xFF)]
            | table[768 + Int(word >> 24)]
    }

    /// The six bits of `character`, or 255.
    private static func sextet(_ character: UInt8) -> UInt8 {
        let value = decodeTables[768 + Int(character)]
        return value >> 24 != 0 ? 255 : UInt8(truncatingIfNeeded: value >> 16)
    }

    private static func firstInvalid(
        _ text: UnsafeRawBufferPointer, from start: Int = 0, characterCount: Int
    ) -> Int? {
        (start..<max(start, characterCount)).first { sextet(text[$0]) == 255 }
    }
}

extension ByteBuffer {
    /// Appends the base64 of `bytes`, without quotes.
    public mutating func append(base64 bytes: UnsafeRawBufferPointer) {
        append(maximum: Base64.encodedCount(bytes.count)) { Base64.encode(bytes, into: $0) }
    }
}
