import Glibc

/// A string of a scanned text: the bytes between its quotes, escapes and all. Valid as long as the text is.
public struct EncodedString: Hashable {
    /// The bytes as they stand in the text, without the quotes.
    public let bytes: UnsafeRawBufferPointer
    /// Whether `bytes` holds escapes.
    public let isEscaped: Bool

    init(bytes: UnsafeRawBufferPointer, isEscaped: Bool) {
        self.bytes = bytes
        self.isEscaped = isEscaped
    }

    /// The text. An escaped surrogate without its partner becomes U+FFFD.
    public var string: String {
        isEscaped ? String(decoding: unescaped(), as: UTF8.self) : String(decoding: bytes, as: UTF8.self)
    }

    /// The beginning of the text, enough to recognise it: of a long one no more is brought out of its escapes.
    var excerpt: String {
        // A character may take two escapes. Cut in the middle of one, it is longer than what is kept of it.
        let most = 12 * (String.excerptCount + 1)
        return EncodedString(bytes: UnsafeRawBufferPointer(rebasing: bytes.prefix(most)), isEscaped: isEscaped).string
            .excerpt
    }

    /// An upper bound on the bytes that the base64 in this string decodes to; exact up to padding without escapes.
    public var base64Capacity: Int { (bytes.count + 3) / 4 * 3 }

    /// Decodes the base64 in this string into the front of `output` and returns the number of bytes.
    public func decodeBase64(into output: UnsafeMutableRawBufferPointer) throws(Base64Error) -> Int {
        guard isEscaped else { return try Base64.decode(bytes, into: output) }
        let text = unescaped()
        let decoded = text.withUnsafeBytes { text in
            // `withUnsafeBytes` of Array does not carry typed errors through.
            Result { () throws(Base64Error) in try Base64.decode(text, into: output) }
        }
        return try decoded.get()
    }

    /// Whether the text is `name`, byte for byte. `String` would ask whether both mean the same in Unicode, in a time
    /// that grows with the square of a run of combining marks: hours for a line full of them.
    public func isExactly(_ name: String) -> Bool {
        let count = name.utf8.count
        guard isEscaped else { return bytes.count == count && bytes.elementsEqual(name.utf8) }
        // A byte takes six at most, as an escape does: no long text is brought out of its escapes for a short name.
        return bytes.count <= 6 * count && unescaped().elementsEqual(name.utf8)
    }

    /// For `case "name":`, byte for byte too.
    static func ~= (name: String, string: EncodedString) -> Bool { string.isExactly(name) }

    /// Whether two strings mean the same text, however they are escaped.
    public static func == (left: EncodedString, right: EncodedString) -> Bool {
        guard !left.isEscaped, !right.isEscaped else { return left.unescaped() == right.unescaped() }
        guard left.bytes.count == right.bytes.count else { return false }
        guard let first = left.bytes.baseAddress, let second = right.bytes.baseAddress else { return true }
        return memcmp(first, second, left.bytes.count) == 0
    }

    /// Feeds the meaning of the string to `hasher`.
    public func hash(into hasher: inout Hasher) {
        if isEscaped {
            unescaped().withUnsafeBytes { hasher.combine(bytes: $0) }
        } else {
            hasher.combine(bytes: bytes)
        }
    }

    /// The bytes with escapes replaced: UTF-8, with unpaired surrogates in the three bytes that WTF-8 gives them.
    func unescaped() -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var position = 0
        while position < bytes.count {
            guard bytes[position] == 0x5C, position + 1 < bytes.count else {
                let rest = bytes[position...]
                let end = rest.firstIndex(of: 0x5C) ?? bytes.count
                // A lone backslash at the end cannot come from the scanner; taking it as it is ends the loop.
                result.append(contentsOf: bytes[position..<max(end, position + 1)])
                position = max(end, position + 1)
                continue
            }
            let letter = bytes[position + 1]
            position += 2
            switch letter {
            case UInt8(ascii: "b"): result.append(0x08)
            case UInt8(ascii: "f"): result.append(0x0C)
            case UInt8(ascii: "n"): result.append(0x0A)
            case UInt8(ascii: "r"): result.append(0x0D)
            case UInt8(ascii: "t"): result.append(0x09)
            case UInt8(ascii: "u"):
                var scalar = codeUnit(at: position)
                position += 4
                if scalar & 0xFC00 == 0xD800, position + 6 <= bytes.count, bytes[position] == 0x5C,
                    bytes[position + 1] == UInt8(ascii: "u"), case let low = codeUnit(at: position + 2),
                    low & 0xFC00 == 0xDC00
                {
                    scalar = 0x10000 + (scalar & 0x3FF) << 10 + low & 0x3FF
                    position += 6
                }
                Self.append(scalar, to: &result)
            default: result.append(letter)
            }
        }
        return result
    }

    private func codeUnit(at position: Int) -> UInt32 {
        guard position + 4 <= bytes.count else { return 0xFFFD }
        return bytes[position..<(position + 4)].reduce(0) { $0 << 4 | UInt32(Self.hexDigit($1) ?? 0) }
    }

    static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    private static func append(_ scalar: UInt32, to result: inout [UInt8]) {
        func byte(_ value: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: value) }
        switch scalar {
        case ..<0x80: result.append(byte(scalar))
        case ..<0x800: result += [byte(0xC0 | scalar >> 6), byte(0x80 | scalar & 0x3F)]
        case ..<0x10000:
            result += [byte(0xE0 | scalar >> 12), byte(0x80 | scalar >> 6 & 0x3F), byte(0x80 | scalar & 0x3F)]
        default:
            result += [
                byte(0xF0 | scalar >> 18), byte(0x80 | scalar >> 12 & 0x3F), byte(0x80 | scalar >> 6 & 0x3F),
                byte(0x80 | scalar & 0x3F),
            ]
        }
    }
}

/// A value of a scanned text. It refers to the text and to the scanner's tape: use it before either changes.
public struct JSONNode {
    /// What a value is.
    public enum Kind: UInt8, Sendable {
        /// `null`
        case null
        /// `true` or `false`
        case bool
        /// A number.
        case number
        /// A string.
        case string
        /// An array.
        case array
        /// An object.
        case object
    }

    let text: UnsafeRawBufferPointer
    let tape: UnsafePointer<TapeEntry>
    let index: Int

    init(text: UnsafeRawBufferPointer, tape: UnsafePointer<TapeEntry>, index: Int) {
        self.text = text
        self.tape = tape
        self.index = index
    }

    private var entry: TapeEntry { tape[index] }

    /// What this value is.
    public var kind: Kind { entry.kind }

    /// The bytes of this value as they stand in the text, quotes included.
    public var rawBytes: UnsafeRawBufferPointer {
        let quote = entry.kind == .string ? 1 : 0
        return UnsafeRawBufferPointer(rebasing: text[(Int(entry.start) - quote)..<(Int(entry.end) + quote)])
    }

    /// The string, escapes and all; of another kind of value, its bytes.
    var encodedString: EncodedString {
        EncodedString(
            bytes: UnsafeRawBufferPointer(rebasing: text[Int(entry.start)..<Int(entry.end)]), isEscaped: entry.isEscaped
        )
    }

    /// The string, escapes and all, or nil if this is no string.
    public var stringSlice: EncodedString? { kind == .string ? encodedString : nil }

    /// The string, or nil if this is none.
    public var string: String? { stringSlice?.string }

    /// Whether this is the string `text`, byte for byte.
    public func isString(_ text: String) -> Bool { stringSlice?.isExactly(text) ?? false }

    /// The truth value, or nil if this is none.
    public var bool: Bool? { kind == .bool ? text[Int(entry.start)] == UInt8(ascii: "t") : nil }

    /// The number, rounded to the nearest double and finite, or nil if this is none.
    public var double: Double? {
        guard kind == .number else { return nil }
        let value = Double(String(decoding: rawBytes, as: UTF8.self))
        return value.flatMap { $0.isFinite ? $0 : nil }
    }

    /// The number if it is whole, however it is written, and an Int holds it exactly; else nil.
    public var int: Int? {
        guard kind == .number else { return nil }
        if let value = Int(String(decoding: rawBytes, as: UTF8.self)) { return value }
        // Beyond 2^53 a double no longer says which whole number was meant.
        guard let value = double, abs(value) <= 9_007_199_254_740_992 else { return nil }
        return Int(exactly: value)
    }

    /// The elements of an array, or nil if this is none.
    public var elements: Elements? { kind == .array ? Elements(parent: self) : nil }

    /// The members of an object in the order of the text, or nil if this is none.
    public var members: Members? { kind == .object ? Members(parent: self) : nil }

    /// The value of the member `key`, or nil where there is none or this is no object.
    public subscript(key: String) -> JSONNode? {
        guard let members else { return nil }
        for member in members where member.key.isExactly(key) { return member.value }
        return nil
    }

    /// The value in memory, for small ones: strings and numbers converted, nothing left that refers to the text.
    public var value: JSONValue {
        switch kind {
        case .null: .null
        case .bool: .bool(bool ?? false)
        case .number: int.map(JSONValue.int) ?? .double(double ?? .infinity)
        case .string: .string(string ?? "")
        case .array: .array(elements.map { $0.map(\.value) } ?? [])
        case .object: .object(members.map { $0.map { .init($0.key.string, $0.value.value) } } ?? [])
        }
    }

    fileprivate func node(_ index: Int) -> JSONNode { JSONNode(text: text, tape: tape, index: index) }

    /// The elements of an array.
    public struct Elements: Sequence, IteratorProtocol {
        private let parent: JSONNode
        private var index: Int

        fileprivate init(parent: JSONNode) {
            self.parent = parent
            index = parent.index + 1
        }

        /// The next element.
        public mutating func next() -> JSONNode? {
            guard index < Int(parent.entry.next) else { return nil }
            defer { index = Int(parent.tape[index].next) }
            return parent.node(index)
        }
    }

    /// The members of an object.
    public struct Members: Sequence, IteratorProtocol {
        private var entries: Elements

        fileprivate init(parent: JSONNode) { entries = Elements(parent: parent) }

        /// The next member.
        public mutating func next() -> (key: EncodedString, value: JSONNode)? {
            guard let key = entries.next(), let value = entries.next() else { return nil }
            return (key.encodedString, value)
        }
    }
}
