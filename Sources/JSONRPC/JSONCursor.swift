import Glibc

/// A place in a text, and the steps over the parts of JSON that hold no others.
struct JSONCursor {
    let text: UnsafeRawBufferPointer
    var position = 0

    init(_ text: UnsafeRawBufferPointer) { self.text = text }

    /// The byte at the position, or 0 at the end: 0 is legal nowhere in JSON.
    var byte: UInt8 { position < text.count ? text[position] : 0 }

    func expected(_ what: String) -> JSONSyntaxError { .init(problem: .expected(what), offset: position) }

    mutating func skipSpace() {
        while position < text.count, case let byte = text[position],
            byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
        {
            position += 1
        }
    }

    mutating func literal(_ word: StaticString) throws(JSONSyntaxError) {
        let count = word.utf8CodeUnitCount
        guard text.count - position >= count, let base = text.baseAddress,
            memcmp(base + position, word.utf8Start, count) == 0
        else { throw expected("a value") }
        position += count
    }

    mutating func number() throws(JSONSyntaxError) {
        guard byte == UInt8(ascii: "-") || byte &- 0x30 < 10 else { throw expected("a value") }
        if byte == UInt8(ascii: "-") { position += 1 }
        if byte == UInt8(ascii: "0") { position += 1 } else { try digits() }
        if byte == UInt8(ascii: ".") {
            position += 1
            try digits()
        }
        if byte | 0x20 == UInt8(ascii: "e") {
            position += 1
            if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
    }

    private mutating func digits() throws(JSONSyntaxError) {
        let start = position
        while byte &- 0x30 < 10 { position += 1 }
        if position == start { throw expected("a digit") }
    }

    /// Moves past a string, from its opening quote to after its closing one. Returns whether it holds escapes.
    mutating func string() throws(JSONSyntaxError) -> Bool {
        var isEscaped = false
        position += 1
        while true {
            skipPlainText()
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return isEscaped
            case UInt8(ascii: "\\"):
                isEscaped = true
                try escape()
            case 0x80...:
                guard let width = UTF8Sequence.width(in: text, at: position) else {
                    throw .init(problem: .notUTF8, offset: position)
                }
                position += width
            default:
                throw expected(position == text.count ? "the closing quote" : "an escape for a control character")
            }
        }
    }

    /// Moves to the next byte that is not printable ASCII, a quote or a backslash.
    private mutating func skipPlainText() {
        guard let base = text.baseAddress else { return }
        let quote = SIMD16<Int8>(repeating: 0x22)
        let backslash = SIMD16<Int8>(repeating: 0x5C)
        // As signed numbers the control characters and everything beyond ASCII lie below the space.
        let space = SIMD16<Int8>(repeating: 0x20)
        var position = position
        while position + 16 <= text.count {
            let bytes = (base + position).loadUnaligned(as: SIMD16<Int8>.self)
            if any((bytes .== quote) .| (bytes .== backslash) .| (bytes .< space)) { break }
            position += 16
        }
        while position < text.count, case let byte = text[position], byte >= 0x20, byte < 0x80, byte != 0x22,
            byte != 0x5C
        {
            position += 1
        }
        self.position = position
    }

    private mutating func escape() throws(JSONSyntaxError) {
        position += 1
        let letter = byte
        switch letter {
        case 0x22, 0x5C, UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
            UInt8(ascii: "r"), UInt8(ascii: "t"), UInt8(ascii: "u"):
            position += 1
        default:
            throw expected("one of \" \\ / b f n r t u after the backslash")
        }
        guard letter == UInt8(ascii: "u") else { return }
        for _ in 0..<4 {
            guard EncodedString.hexDigit(byte) != nil else { throw expected("a hexadecimal digit") }
            position += 1
        }
    }
}

/// Well-formed UTF-8 as the Unicode Standard defines it (table 3-7): no overlong forms, surrogates or values past
/// U+10FFFF.
enum UTF8Sequence {
    /// The length of the multi-byte sequence at `position`, or nil if it is malformed.
    static func width(in text: UnsafeRawBufferPointer, at position: Int) -> Int? {
        let lead = text[position]
        let width: Int
        var second: ClosedRange<UInt8> = 0x80...0xBF
        switch lead {
        case 0xC2...0xDF: width = 2
        case 0xE0: (width, second) = (3, 0xA0...0xBF)
        case 0xED: (width, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: width = 3
        case 0xF0: (width, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: width = 4
        case 0xF4: (width, second) = (4, 0x80...0x8F)
        default: return nil
        }
        guard text.count - position >= width, second.contains(text[position + 1]) else { return nil }
        for index in 2..<max(width, 2) where text[position + index] & 0xC0 != 0x80 { return nil }
        return width
    }
}
