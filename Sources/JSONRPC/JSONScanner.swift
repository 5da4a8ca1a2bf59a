/// Why a text is not JSON as this protocol takes it.
public struct JSONSyntaxError: Error, Equatable, Sendable {
    /// What is wrong.
    public enum Problem: Equatable, Sendable {
        /// Something else stands where this was expected.
        case expected(String)
        /// A string holds bytes that are not UTF-8.
        case notUTF8
        /// A key, of which this is the beginning, stands twice in one object.
        case duplicateKey(String)
        /// Arrays and objects nest deeper than the limit.
        case tooDeep(limit: Int)
        /// An object has more members than the limit.
        case tooManyMembers(limit: Int)
        /// There are more values than the limit, keys among them.
        case tooManyValues(limit: Int)
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
        case .tooManyMembers(let limit): "An object of the line has more than \(limit) members."
        case .tooManyValues(let limit):
            "The line holds more than \(limit) values and keys; send less at a time."
        }
    }
}

/// Validates a text as JSON (RFC 8259) in one pass and notes where its values lie, without copying or converting any.
///
/// This is a scanner of the house and not Foundation's because replies must echo ids byte for byte, keys must not
/// repeat, and base64 strings must be decoded straight from the line into place. The tape it writes (after simdjson,
/// Langdale and Lemire 2019) has one entry a value in the order of the text and is reused from text to text.
public struct JSONScanner: ~Copyable {
    /// The deepest nesting of arrays and objects taken.
    public static let maxDepth = 32

    private let tape = Tape()
    private var keyHashes: [(hash: Int, entry: Int)] = []
    private let maxValues: Int
    private let maxMembers: Int

    /// A scanner with no text.
    ///
    /// - Parameters:
    ///   - maxValues: the most values of a text, keys among them.
    ///   - maxMembers: the most members of an object.
    public init(maxValues: Int = .max, maxMembers: Int = .max) {
        self.maxValues = maxValues
        self.maxMembers = maxMembers
    }

    /// Scans `text` and returns its value, which refers to `text` and to this scanner: use it before either changes.
    public mutating func scan(_ text: UnsafeRawBufferPointer) throws(JSONSyntaxError) -> JSONNode {
        tape.removeAll()
        guard text.count < UInt32.max else { throw .init(problem: .expected("less than 4 GiB"), offset: 0) }
        var pass = Pass(
            cursor: JSONCursor(text), tape: tape, maxValues: maxValues, maxMembers: maxMembers, keyHashes: keyHashes)
        keyHashes = []
        defer { keyHashes = pass.keyHashes.count > 4096 ? [] : pass.keyHashes }
        pass.cursor.skipSpace()
        try pass.value(depth: 0)
        pass.cursor.skipSpace()
        guard pass.cursor.position == text.count else { throw pass.cursor.expected("the end of the line") }
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
    var cursor: JSONCursor
    let tape: Tape
    let maxValues: Int
    let maxMembers: Int
    var keyHashes: [(hash: Int, entry: Int)]

    mutating func value(depth: Int) throws(JSONSyntaxError) {
        let start = cursor.position
        guard tape.count < maxValues else { throw .init(problem: .tooManyValues(limit: maxValues), offset: start) }
        switch cursor.byte {
        case UInt8(ascii: "\""): try string()
        case UInt8(ascii: "{"): try object(depth: depth + 1)
        case UInt8(ascii: "["): try array(depth: depth + 1)
        case UInt8(ascii: "t"):
            try cursor.literal("true")
            append(.bool, from: start, to: cursor.position)
        case UInt8(ascii: "f"):
            try cursor.literal("false")
            append(.bool, from: start, to: cursor.position)
        case UInt8(ascii: "n"):
            try cursor.literal("null")
            append(.null, from: start, to: cursor.position)
        default:
            try cursor.number()
            append(.number, from: start, to: cursor.position)
        }
    }

    private mutating func string() throws(JSONSyntaxError) {
        let start = cursor.position + 1
        let isEscaped = try cursor.string()
        append(.string, from: start, to: cursor.position - 1, isEscaped: isEscaped)
    }

    private func append(_ kind: JSONNode.Kind, from start: Int, to end: Int, isEscaped: Bool = false) {
        let next = UInt32(truncatingIfNeeded: tape.count + 1)
        tape.append(
            TapeEntry(
                start: UInt32(truncatingIfNeeded: start), end: UInt32(truncatingIfNeeded: end), next: next, kind: kind,
                isEscaped: isEscaped))
    }

    private mutating func array(depth: Int) throws(JSONSyntaxError) {
        let entry = try open(.array, depth: depth)
        if cursor.byte != UInt8(ascii: "]") {
            while true {
                try value(depth: depth)
                cursor.skipSpace()
                guard cursor.byte == UInt8(ascii: ",") else { break }
                cursor.position += 1
                cursor.skipSpace()
            }
        }
        guard cursor.byte == UInt8(ascii: "]") else { throw cursor.expected("',' or ']'") }
        close(entry)
    }

    private mutating func object(depth: Int) throws(JSONSyntaxError) {
        let entry = try open(.object, depth: depth)
        var memberCount = 0
        if cursor.byte != UInt8(ascii: "}") {
            while true {
                guard cursor.byte == UInt8(ascii: "\"") else { throw cursor.expected("a key in double quotes") }
                try string()
                cursor.skipSpace()
                guard cursor.byte == UInt8(ascii: ":") else { throw cursor.expected("':'") }
                cursor.position += 1
                cursor.skipSpace()
                try value(depth: depth)
                memberCount += 1
                guard memberCount <= maxMembers else {
                    throw .init(problem: .tooManyMembers(limit: maxMembers), offset: cursor.position)
                }
                cursor.skipSpace()
                guard cursor.byte == UInt8(ascii: ",") else { break }
                cursor.position += 1
                cursor.skipSpace()
            }
        }
        guard cursor.byte == UInt8(ascii: "}") else { throw cursor.expected("',' or '}'") }
        close(entry)
        if memberCount > 1 { try checkKeys(of: entry, memberCount: memberCount) }
    }

    private mutating func open(_ kind: JSONNode.Kind, depth: Int) throws(JSONSyntaxError) -> Int {
        guard depth <= JSONScanner.maxDepth else {
            throw .init(problem: .tooDeep(limit: JSONScanner.maxDepth), offset: cursor.position)
        }
        let entry = tape.count
        append(kind, from: cursor.position, to: cursor.position)
        cursor.position += 1
        cursor.skipSpace()
        return entry
    }

    private mutating func close(_ entry: Int) {
        cursor.position += 1
        tape.base[entry].end = UInt32(truncatingIfNeeded: cursor.position)
        tape.base[entry].next = UInt32(truncatingIfNeeded: tape.count)
    }

    /// Few keys are compared pair by pair; many are sorted by a seeded hash first, so that no line costs quadratic
    /// time, and those with escapes, so that each is unescaped once.
    private mutating func checkKeys(of object: Int, memberCount: Int) throws(JSONSyntaxError) {
        let end = Int(tape.base[object].next)
        if memberCount <= 12, !hasEscapedKey(object) {
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

    private func hasEscapedKey(_ object: Int) -> Bool {
        let end = Int(tape.base[object].next)
        var key = object + 1
        while key < end {
            if tape.base[key].isEscaped { return true }
            key = Int(tape.base[key + 1].next)
        }
        return false
    }

    private func string(_ entry: Int) -> EncodedString {
        JSONNode(text: cursor.text, tape: tape.base, index: entry).encodedString
    }

    private func duplicate(_ entry: Int) -> JSONSyntaxError {
        .init(problem: .duplicateKey(string(entry).excerpt), offset: Int(tape.base[entry].start))
    }
}
