/// A JSON document as model folders hold them: strict RFC 8259, no duplicate keys, bounded nesting, bounded values.
///
/// The standard decoder keeps one of two equal keys in silence; in a file that says where weights lie, or what a
/// network is, that is an error to be told.
public enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// The most values of a document, each taking up to a hundred bytes of memory: ten thousand tensors have as many.
    public static let maximumCount = 1 << 17

    /// The longest key, in bytes: whether two with long runs of combining marks are the same to Unicode, as keys are
    /// compared, takes a time that grows with the square of their length.
    public static let maximumKeyLength = 256

    /// Parses a whole document.
    ///
    /// - Throws: `JSONError`, which says what is wrong and at which byte.
    public static func parse(_ bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSONValue {
        guard String(validating: bytes, as: UTF8.self) != nil else { throw JSONError("is not UTF-8", at: 0) }
        var reader = JSONReader(bytes: bytes)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.position == bytes.count else {
            throw JSONError("goes on after its end", at: reader.position)
        }
        return value
    }
}

/// What is wrong with a document, as the rest of a sentence that begins with its name.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String

    init(_ problem: String, at position: Int) { description = "\(problem) (at byte \(position))" }
}

/// Reads one value after the other, from the front.
private struct JSONReader {
    let bytes: UnsafeRawBufferPointer
    var position = 0
    private var count = 0

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
    }

    mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard depth < 32 else { throw JSONError("is nested more than 32 deep", at: position) }
        count += 1
        guard count <= JSONValue.maximumCount else {
            throw JSONError("has more than \(JSONValue.maximumCount) values", at: position)
        }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw JSONError("ends in the middle", at: position)
        default: return try number()
        }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONValue {
        position += 1
        var members: [String: JSONValue] = [:]
        if take("}") { return .object(members) }
        repeat {
            skipSpace()
            let start = position
            guard next == UInt8(ascii: "\"") else { throw JSONError("lacks a key in quotes", at: position) }
            let key = try string()
            guard key.utf8.count <= JSONValue.maximumKeyLength else {
                throw JSONError("has a key of more than \(JSONValue.maximumKeyLength) bytes", at: start)
            }
            guard take(":") else { throw JSONError("lacks a colon after \"\(key)\"", at: position) }
            let value = try value(depth: depth + 1)
            guard members.updateValue(value, forKey: key) == nil else {
                throw JSONError("has the key \"\(key)\" twice", at: start)
            }
        } while take(",")
        guard take("}") else { throw JSONError("lacks a comma or a closing brace", at: position) }
        return .object(members)
    }

    private mutating func array(depth: Int) throws(JSONError) -> JSONValue {
        position += 1
        var elements: [JSONValue] = []
        if take("]") { return .array(elements) }
        repeat {
            elements.append(try value(depth: depth + 1))
        } while take(",")
        guard take("]") else { throw JSONError("lacks a comma or a closing bracket", at: position) }
        return .array(elements)
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let text = UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        guard bytes.count - position >= text.count, bytes[position..<position + text.count].elementsEqual(text) else {
            throw JSONError("has an unknown word", at: position)
        }
        position += text.count
        return value
    }

    private mutating func digits() -> Int {
        let start = position
        while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
        return position - start
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        if next == UInt8(ascii: "-") { position += 1 }
        let leadsWithZero = next == UInt8(ascii: "0")
        let whole = digits()
        var isValid = whole > 0 && !(leadsWithZero && whole > 1)
        if next == UInt8(ascii: ".") {
            position += 1
            isValid = digits() > 0 && isValid
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            isValid = digits() > 0 && isValid
        }
        guard isValid, let value = Double(String(decoding: bytes[start..<position], as: UTF8.self)), value.isFinite
        else { throw JSONError("has something that is not a value", at: start) }
        return .number(value)
    }

    private mutating func string() throws(JSONError) -> String {
        let start = position
        position += 1
        var text: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): text.append(contentsOf: String(try escape()).utf8)
            case 0..<0x20: throw JSONError("has a control character in a string", at: position - 1)
            default: text.append(byte)
            }
        }
        throw JSONError("has a string without an end", at: start)
    }

    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        let start = position
        position += 1
        switch start < bytes.count ? bytes[start] : 0 {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let high = try codeUnit()
            if let scalar = Unicode.Scalar(high) { return scalar }
            guard high < 0xDC00, next == UInt8(ascii: "\\") else { break }
            position += 1
            guard next == UInt8(ascii: "u") else { break }
            position += 1
            let low = try codeUnit()
            guard (0xDC00...0xDFFF).contains(low) else { break }
            if let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)) { return scalar }
        default: break
        }
        throw JSONError("has an escape that means nothing", at: start - 1)
    }

    private mutating func codeUnit() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw JSONError("has an escape that means nothing", at: position)
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
