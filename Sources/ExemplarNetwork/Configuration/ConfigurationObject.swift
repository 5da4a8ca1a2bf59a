import Safetensors

/// A JSON object that is read member by member, so that what was never read is found: a typo is an error, not a
/// silence. Every error names the key by its path.
struct ConfigurationObject {
    let path: String
    private var members: [String: JSONValue]
    private var known: [String] = []

    init(_ value: JSONValue, path: String) throws(ModelError) {
        guard case .object(let members) = value else { throw ModelError("\(path) must be an object") }
        self.path = path
        self.members = members
    }

    private func name(_ key: String) -> String { "\(path).\(key)" }

    /// The member `key`, nil where it is absent.
    mutating func take(_ key: String) -> JSONValue? {
        known.append(key)
        return members.removeValue(forKey: key)
    }

    mutating func required(_ key: String) throws(ModelError) -> JSONValue {
        guard let value = take(key) else { throw ModelError("\(name(key)) is missing") }
        return value
    }

    mutating func object(_ key: String) throws(ModelError) -> ConfigurationObject {
        try ConfigurationObject(required(key), path: name(key))
    }

    mutating func optionalObject(_ key: String) throws(ModelError) -> ConfigurationObject? {
        guard let value = take(key) else { return nil }
        return try ConfigurationObject(value, path: name(key))
    }

    mutating func string(_ key: String) throws(ModelError) -> String {
        try text(required(key), key)
    }

    /// The longest text, in bytes: texts are compared, some of them as Unicode means them, and quoted in errors.
    private static let maximumLength = 1024

    private func text(_ value: JSONValue, _ key: String) throws(ModelError) -> String {
        guard case .string(let text) = value, text.utf8.count <= Self.maximumLength else {
            throw ModelError("\(name(key)) must be a string of at most \(Self.maximumLength) bytes")
        }
        return text
    }

    mutating func optionalString(_ key: String) throws(ModelError) -> String? {
        guard let value = take(key) else { return nil }
        return try text(value, key)
    }

    mutating func word<Word: RawRepresentable & CaseIterable>(
        _ key: String, default fallback: Word? = nil
    ) throws(ModelError) -> Word where Word.RawValue == String {
        if let fallback, members[key] == nil {
            known.append(key)
            return fallback
        }
        let text = try string(key)
        guard let word = Word(rawValue: text) else {
            let words = Word.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
            throw ModelError("\(name(key)) is \"\(text)\"; it must be one of \(words)")
        }
        return word
    }

    mutating func number(_ key: String) throws(ModelError) -> Double {
        guard case .number(let number) = try required(key), Float(number).isFinite else {
            throw ModelError("\(name(key)) must be a number that float32 holds")
        }
        return number
    }

    mutating func integer(_ key: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int {
        try Self.integer(required(key), range, path: name(key))
    }

    /// An integer for both sides, or [height, width].
    mutating func extent(_ key: String, _ range: ClosedRange<Int>, default fallback: Int? = nil)
        throws(ModelError) -> Extent
    {
        if let fallback, members[key] == nil {
            known.append(key)
            return Extent(fallback, fallback)
        }
        let value = try required(key)
        guard case .array(let sides) = value else {
            let side = try Self.integer(value, range, path: name(key))
            return Extent(side, side)
        }
        guard sides.count == 2 else { throw ModelError("\(name(key)) must be an integer or [height, width]") }
        return Extent(
            try Self.integer(sides[0], range, path: name(key)), try Self.integer(sides[1], range, path: name(key)))
    }

    mutating func numbers(_ key: String, count: Int) throws(ModelError) -> [Double] {
        try Self.numbers(required(key), count: count, path: name(key))
    }

    /// [lowest, highest], both above `least` where there is one.
    mutating func range(_ key: String, above least: Double? = nil) throws(ModelError) -> ClosedRange<Double> {
        let bounds = try numbers(key, count: 2)
        guard bounds[0] <= bounds[1] else { throw ModelError("\(name(key)) must be [lowest, highest]") }
        if let least, bounds[0] <= least { throw ModelError("\(name(key)) must lie above \(least)") }
        return bounds[0]...bounds[1]
    }

    /// [lowest, highest], nil where it is absent.
    mutating func optionalRange(_ key: String) throws(ModelError) -> ClosedRange<Double>? {
        guard members[key] == nil else { return try range(key) }
        known.append(key)
        return nil
    }

    mutating func array(_ key: String) throws(ModelError) -> [JSONValue] {
        guard case .array(let elements) = try required(key) else { throw ModelError("\(name(key)) must be an array") }
        return elements
    }

    /// Everything not read yet, by key: for objects whose keys are names.
    mutating func takeAll() -> [(key: String, value: JSONValue)] {
        defer { members = [:] }
        return members.sorted { $0.key < $1.key }
    }

    /// Refuses what was never read.
    func finish() throws(ModelError) {
        guard let key = members.keys.min() else { return }
        throw ModelError("\(name(key)) is not a key that is known here; known are \(known.joined(separator: ", "))")
    }

    static func numbers(_ value: JSONValue, count: Int, path: String) throws(ModelError) -> [Double] {
        var numbers: [Double] = []
        if case .array(let elements) = value {
            for case .number(let number) in elements where Float(number).isFinite { numbers.append(number) }
            if numbers.count == count, elements.count == count { return numbers }
        }
        throw ModelError("\(path) must be an array of \(count) numbers that float32 holds")
    }

    private static func integer(_ value: JSONValue, _ range: ClosedRange<Int>, path: String) throws(ModelError) -> Int {
        guard case .number(let number) = value, number == number.rounded(),
            Double(range.lowerBound) <= number, number <= Double(range.upperBound)
        else {
            throw ModelError("\(path) must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return Int(number)
    }
}
