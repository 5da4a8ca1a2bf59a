/// The members of a parameter object, taken out by name and type; each error names its parameter.
struct Parameters {
    private let members: [(key: EncodedString, value: JSONNode)]
    /// What stands before a name in an error: empty, or the path of this object and a dot.
    private let prefix: String
    /// The most patches or images.
    let maxEntries: Int

    /// The members of `node`; none where it is nil.
    init(_ node: JSONNode?, prefix: String = "", maxEntries: Int = .max) {
        members = node?.members.map(Array.init) ?? []
        self.prefix = prefix
        self.maxEntries = maxEntries
    }

    /// Refuses every name that is not among `known`: a typo must not be silent.
    func allow(_ known: [String]) throws(ResponseError) {
        for member in members {
            if !known.contains(where: member.key.isExactly) {
                let names = known.isEmpty ? "it takes none" : "there are \(known.joined(separator: ", "))"
                throw invalid(member.key.excerpt, "is not a parameter; \(names).")
            }
        }
    }

    func invalid(_ name: String, _ clause: String) -> ResponseError {
        .invalidParameter(prefix + name, "`\(prefix)\(name)` \(clause)")
    }

    func path(_ name: String) -> String { "\(prefix)\(name)." }

    func node(_ name: String) -> JSONNode? {
        for member in members where member.key.isExactly(name) { return member.value }
        return nil
    }

    func has(_ name: String) -> Bool { node(name) != nil }

    /// Refuses the parameters `names` where the choice of `reason` leaves them without a meaning.
    func refuse(_ names: [String], with reason: String) throws(ResponseError) {
        for name in names where has(name) { throw invalid(name, "does not go with \(reason); leave it out.") }
    }

    func string(_ name: String) throws(ResponseError) -> String? {
        guard let node = node(name) else { return nil }
        guard let string = node.string else { throw invalid(name, "must be a string.") }
        return string
    }

    func bool(_ name: String) throws(ResponseError) -> Bool? {
        guard let node = node(name) else { return nil }
        guard let bool = node.bool else { throw invalid(name, "must be true or false.") }
        return bool
    }

    func int(_ name: String, in range: ClosedRange<Int>) throws(ResponseError) -> Int? {
        guard let node = node(name) else { return nil }
        guard let int = node.int, range.contains(int) else {
            throw invalid(name, "must be a whole number from \(range.lowerBound) to \(range.upperBound).")
        }
        return int
    }

    func double(_ name: String) throws(ResponseError) -> Double? {
        guard let node = node(name) else { return nil }
        guard let double = node.double else { throw invalid(name, "must be a number that a double holds.") }
        return double
    }

    func doubles(_ name: String, count: Int) throws(ResponseError) -> [Double] {
        let doubles = node(name)?.elements?.prefix(count + 1).map(\.double) ?? []
        let numbers = doubles.compactMap(\.self)
        guard numbers.count == count, doubles.count == count else {
            throw invalid(name, "must be an array of \(count) numbers.")
        }
        return numbers
    }

    /// One of the raw values of `Choice`.
    func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, default: Choice
    ) throws(ResponseError) -> Choice where Choice.RawValue == String {
        guard let node = node(name) else { return `default` }
        guard let choice = Choice.allCases.first(where: { node.isString($0.rawValue) }) else {
            let names = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
            throw invalid(name, "must be one of \(names).")
        }
        return choice
    }

    /// The elements of an array, at most `limit` of them: counting is cheap, converting thousands is not.
    func elements(
        _ name: String, atMost limit: Int, advice: String = ""
    ) throws(ResponseError) -> JSONNode.Elements? {
        guard let elements = node(name)?.elements else { return nil }
        guard !elements.dropFirst(limit).contains(where: { _ in true }) else {
            throw invalid(name, "must hold at most \(limit) entries\(advice).")
        }
        return elements
    }

    func object(_ name: String) throws(ResponseError) -> Parameters? {
        guard let node = node(name) else { return nil }
        guard node.kind == .object else { throw invalid(name, "must be an object.") }
        return Parameters(node, prefix: path(name))
    }

    func required<Value>(_ name: String, _ value: Value?) throws(ResponseError) -> Value {
        guard let value else { throw invalid(name, "is missing.") }
        return value
    }
}

extension String {
    /// Without control characters, by which a text of somebody else's could command a terminal, or begin a line of a
    /// log.
    public var printable: String {
        guard unicodeScalars.contains(where: \.isControl) else { return self }
        return String(String.UnicodeScalarView(unicodeScalars.map { $0.isControl ? "�" : $0 }))
    }

    /// Scalars that are quoted of a text at most.
    static let excerptCount = 100

    /// The beginning, enough to recognise it: what a client sent goes back to it, and should not grow on the way.
    public var excerpt: String {
        let scalars = unicodeScalars.prefix(Self.excerptCount + 1)
        return scalars.count <= Self.excerptCount
            ? self : String(String.UnicodeScalarView(scalars.dropLast())) + "..."
    }
}

extension Unicode.Scalar {
    fileprivate var isControl: Bool { properties.generalCategory == .control }
}
