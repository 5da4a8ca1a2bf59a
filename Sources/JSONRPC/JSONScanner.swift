#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Why a text is not JSON as this protocol takes it.
public struct JSONSyntaxError: Error, Equatable, Sendable {
    /// What is wrong.
    public enum Problem: Equatable, Sendable {
        /// Something else stands where this was expected.
        case expected(String)
        /// A string holds bytes that are not UTF-8.
        case notUTF8
        /// A key stands twice in one object.
        case duplicateKey(String)
        /// Arrays and objects nest deeper than the limit.
        case tooDeep(limit: Int)
    }

    /// What is wrong.
    public var problem: Problem
    /// Where, in bytes from the start of the text.
    public var offset: Int

    /// A sentence for the person who sent the text.
    public var message: String {
        switch problem {
        case .expected(let what): "The line is not JSON: expected \(what) at byte \(offset)."
        case .notUTF8: "The line is not UTF-8: look at byte \(offset)."
        case .duplicateKey(let key): "The key \"\(key)\" stands twice in one object; send it once."
        case .tooDeep(let limit): "The line nests deeper than \(limit) arrays and objects."
        }
    }
}

/// Validates a text as JSON (RFC 8259) in one pass and notes where its values lie, without copying or converting any.
///
/// This is a scanner of the house and not Foundation's because replies must echo ids byte for byte, keys must not repeat,
/// and base64 strings must be decoded straight from the line into place. The tape it writes (after simdjson, Langdale and
/// Lemire 2019) has one entry a value in the order of the text and is reused from text to text.
public struct JSONScanner {
    /// The deepest nesting of arrays and objects taken.
    public static let maxDepth = 32

    private let tape = Tape()
    private var keyHashes: [(hash: Int, entry: Int)] = []

    /// A scanner with no text.
    public init() {}

    /// Scans `text` and returns its value, which refers to `text` and to this scanner: use it before either changes.
    public mutating func scan(_ text: UnsafeRawBufferPointer) throws(JSONSyntaxError) -> JSONNode {
        tape.removeAll()
        var pass = Pass(text: text, tape: tape, keyHashes: keyHashes)
        keyHashes = []
        defer { keyHashes = pass.keyHashes.count > 4096 ? [] : pass.keyHashes }
        pass.skipSpace()
        try pass.value(depth: 0)
        pass.skipSpace()
        guard pass.position == text.count else { throw pass.expected("the end of the line") }
        return JSONNode(text: text, tape: tape.base, index: 0)
    }
}

/// One value of a scanned text.
struct TapeEntry {
    /// The first byte of the value; of a string, the first after its quote.
    var start: UInt32
    /// The byte after the value; of a string, its closing quote.
    var end: UInt32
    /// The entry after this value and everything in it.
    var next: UInt32
    var kind: JSONNode.Kind
    /// Whether a string holds escapes.
    var isEscaped = false
}

/// Growable storage of entries that never moves while a text is being read.
final class Tape {
    private(set) var base: UnsafeMutablePointer<TapeEntry>
    private(set) var count = 0
    private var capacity: Int

    /// Entries kept from text to text (a megabyte); a text with more gives its storage back afterwards.
    private static let keptCapacity = 65_536

    init() {
        capacity = 256
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    func removeAll() {
        count = 0
        if capacity > Self.keptCapacity { resize(256) }
    }

    @inline(__always)
    func append(_ entry: TapeEntry) {
        if count == capacity { resize(capacity * 2) }
        (base + count).initialize(to: entry)
        count += 1
    }

    @inline(never)
    private func resize(_ newCapacity: Int) {
        let larger = UnsafeMutablePointer<TapeEntry>.allocate(capacity: newCapacity)
        larger.moveInitialize(from: base, count: count)
        base.deallocate()
        base = larger
        capacity = newCapacity
    }
}

/// The state of one scan.
private struct Pass {
    let text: UnsafeRawBufferPointer
    let tape: Tape
    var keyHashes: [(hash: Int, entry: Int)]
    var position = 0

    /// The byte at the position, or 0 at the end: 0 is legal nowhere in JSON.
    private var byte: UInt8 { position < text.count ? text[position] : 0 }

    func expected(_ what: String) -> JSONSyntaxError { .init(problem: .expected(what), offset: position) }

    mutating func skipSpace() {
        while position < text.count, case let byte = text[position],
            byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
        {
            position += 1
        }
    }

    mutating func value(depth: Int) throws(JSONSyntaxError) {
        switch byte {
        case UInt8(ascii: "\""): try string()
        case UInt8(ascii: "{"): try object(depth: depth + 1)
        case UInt8(ascii: "["): try array(depth: depth + 1)
        case UInt8(ascii: "t"): try literal("true", .bool)
        case UInt8(ascii: "f"): try literal("false", .bool)
        case UInt8(ascii: "n"): try literal("null", .null)
        default: try number()
        }
    }

    private mutating func literal(_ word: StaticString, _ kind: JSONNode.Kind) throws(JSONSyntaxError) {
        let count = word.utf8CodeUnitCount
        guard text.count - position >= count, let base = text.baseAddress,
            memcmp(base + position, word.utf8Start, count) == 0
        else { throw expected("a value") }
        leaf(kind, from: position, to: position + count)
        position += count
    }

    private mutating func leaf(_ kind: JSONNode.Kind, from start: Int, to end: Int, isEscaped: Bool = false) {
        let next = UInt32(truncatingIfNeeded: tape.count + 1)
        tape.append(
            TapeEntry(
                start: UInt32(truncatingIfNeeded: start), end: UInt32(truncatingIfNeeded: end), next: next, kind: kind,
                isEscaped: isEscaped))
    }

    private mutating func digits() throws(JSONSyntaxError) {
        let start = position
        while byte &- 0x30 < 10 { position += 1 }
        if position == start { throw expected("a digit") }
    }

    private mutating func number() throws(JSONSyntaxError) {
        let start = position
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
        leaf(.number, from: start, to: position)
    }

    private mutating func array(depth: Int) throws(JSONSyntaxError) {
        let entry = try open(.array, depth: depth)
        if byte != UInt8(ascii: "]") {
            while true {
                try value(depth: depth)
                skipSpace()
                guard byte == UInt8(ascii: ",") else { break }
                position += 1
                skipSpace()
            }
        }
        guard byte == UInt8(ascii: "]") else { throw expected("',' or ']'") }
        close(entry)
    }

    private mutating func object(depth: Int) throws(JSONSyntaxError) {
        let entry = try open(.object, depth: depth)
        var memberCount = 0
        if byte != UInt8(ascii: "}") {
            while true {
                guard byte == UInt8(ascii: "\"") else { throw expected("a key in double quotes") }
                try string()
                skipSpace()
                guard byte == UInt8(ascii: ":") else { throw expected("':'") }
                position += 1
                skipSpace()
                try value(depth: depth)
                memberCount += 1
                skipSpace()
                guard byte == UInt8(ascii: ",") else { break }
                position += 1
                skipSpace()
            }
        }
        guard byte == UInt8(ascii: "}") else { throw expected("',' or '}'") }
        close(entry)
        if memberCount > 1 { try checkKeys(of: entry, memberCount: memberCount) }
    }

    private mutating func open(_ kind: JSONNode.Kind, depth: Int) throws(JSONSyntaxError) -> Int {
        guard depth <= JSONScanner.maxDepth else {
            throw .init(problem: .tooDeep(limit: JSONScanner.maxDepth), offset: position)
        }
        let entry = tape.count
        leaf(kind, from: position, to: position)
        position += 1
        skipSpace()
        return entry
    }

    private mutating func close(_ entry: Int) {
        position += 1
        tape.base[entry].end = UInt32(truncatingIfNeeded: position)
        tape.base[entry].next = UInt32(truncatingIfNeeded: tape.count)
    }

    private mutating func string() throws(JSONSyntaxError) {
        let start = position + 1
        var isEscaped = false
        position = start
        while true {
            skipPlainText()
            switch byte {
            case UInt8(ascii: "\""):
                leaf(.string, from: start, to: position, isEscaped: isEscaped)
                position += 1
                return
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
        switch byte {
        case 0x22, 0x5C, UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
            UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 1
        case UInt8(ascii: "u"):
            position += 1
            for _ in 0..<4 {
                guard EncodedString.hexDigit(byte) != nil else { throw expected("a hexadecimal digit") }
                position += 1
            }
        default:
            throw expected("one of \" \\ / b f n r t u after the backslash")
        }
    }

    /// Few keys are compared pair by pair; many are sorted by a seeded hash first, so that no line costs quadratic time.
    private mutating func checkKeys(of object: Int, memberCount: Int) throws(JSONSyntaxError) {
        let end = Int(tape.base[object].next)
        if memberCount <= 12 {
            var key = object + 1
            while key < end {
                var other = Int(tape.base[key + 1].next)
                while other < end {
                    if string(key) == string(other) { throw duplicate(other) }
                    other = Int(tape.base[other + 1].next)
                }
                key = Int(tape.base[key + 1].next)
            }
            return
        }
        keyHashes.removeAll(keepingCapacity: true)
        var key = object + 1
        while key < end {
            keyHashes.append((string(key).hashValue, key))
            key = Int(tape.base[key + 1].next)
        }
        keyHashes.sort { ($0.hash, $0.entry) < ($1.hash, $1.entry) }
        for index in 1..<keyHashes.count where keyHashes[index].hash == keyHashes[index - 1].hash {
            var earlier = index - 1
            while earlier >= 0, keyHashes[earlier].hash == keyHashes[index].hash {
                if string(keyHashes[earlier].entry) == string(keyHashes[index].entry) {
                    throw duplicate(keyHashes[index].entry)
                }
                earlier -= 1
            }
        }
    }

    private func string(_ entry: Int) -> EncodedString {
        JSONNode(text: text, tape: tape.base, index: entry).encodedString
    }

    private func duplicate(_ entry: Int) -> JSONSyntaxError {
        .init(problem: .duplicateKey(string(entry).string), offset: Int(tape.base[entry].start))
    }
}

/// Well-formed UTF-8 as the Unicode Standard defines it (table 3-7): no overlong forms, surrogates or values past U+10FFFF.
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
