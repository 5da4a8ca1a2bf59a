/// A reader of Prometheus's text format, version 0.0.4, written from its description alone (prometheus.io, "Exposition
/// formats"), that finds fault with whatever a scraper could stumble over.
struct ExpositionGrammar {
    struct Sample: Equatable {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    private(set) var samples: [Sample] = []
    /// By family.
    private(set) var types: [String: String] = [:]
    /// What is wrong, each with its line.
    private(set) var faults: [String] = []
    private var helps: Set<String> = []
    /// Families whose samples have ended: all of a family's lines stand together.
    private var finished: Set<String> = []
    private var current: String?

    init(_ text: String) {
        if !text.isEmpty, !text.hasSuffix("\n") { faults.append("the last line has no line feed") }
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# ") { readComment(line) } else { readSample(line) }
        }
        checkHistograms()
    }

    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        samples.first { $0.name == name && $0.labels == labels }?.value
    }

    private mutating func readComment(_ line: Substring) {
        let parts = line.split(separator: " ", maxSplits: 3)
        guard parts.count == 4, Self.isName(parts[2]) else {
            faults.append("neither help nor type: \(line)")
            return
        }
        let family = String(parts[2])
        enter(family, line)
        switch parts[1] {
        case "HELP": if !helps.insert(family).inserted { faults.append("a second help: \(line)") }
        case "TYPE":
            if types[family] != nil { faults.append("a second type: \(line)") }
            if samples.contains(where: { Self.family(of: $0.name, types) == family }) {
                faults.append("the type comes after samples: \(line)")
            }
            if !["counter", "gauge", "histogram"].contains(parts[3]) { faults.append("no type of ours: \(line)") }
            types[family] = String(parts[3])
        default: faults.append("neither help nor type: \(line)")
        }
    }

    private mutating func enter(_ family: String, _ line: Substring) {
        guard family != current else { return }
        if let current { finished.insert(current) }
        if finished.contains(family) { faults.append("the family is torn apart: \(line)") }
        current = family
    }

    private mutating func readSample(_ line: Substring) {
        var rest = line
        let name = rest.prefix { $0 != "{" && $0 != " " }
        rest = rest.dropFirst(name.count)
        guard Self.isName(name), let labels = Self.labels(&rest), rest.first == " ",
            let value = Self.number(rest.dropFirst())
        else {
            faults.append("not a sample: \(line)")
            return
        }
        let sample = Sample(name: String(name), labels: labels, value: value)
        let family = Self.family(of: sample.name, types)
        enter(family, line)
        if types[family] == nil || !helps.contains(family) { faults.append("without help and type: \(line)") }
        if types[family] == "counter", !family.hasSuffix("_total") || value < 0 {
            faults.append("a counter is named _total and not negative: \(line)")
        }
        if samples.contains(where: { $0.name == sample.name && $0.labels == labels }) {
            faults.append("a second time: \(line)")
        }
        samples.append(sample)
    }

    /// A histogram's samples carry its name and a suffix.
    private static func family(of name: String, _ types: [String: String]) -> String {
        for suffix in ["_bucket", "_sum", "_count"] where name.hasSuffix(suffix) {
            let family = String(name.dropLast(suffix.count))
            if types[family] == "histogram" { return family }
        }
        return name
    }

    private static func isName(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, !(48...57).contains(first) else { return false }
        return text.utf8.allSatisfy { byte in
            (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 95
                || byte == 58
        }
    }

    private static func number(_ text: Substring) -> Double? {
        switch text {
        case "+Inf": .infinity
        case "-Inf": -.infinity
        case "NaN": .nan
        default: Double(text)
        }
    }

    /// `{name="value",…}`, or nothing; nil where it is neither.
    private static func labels(_ rest: inout Substring) -> [String: String]? {
        guard rest.first == "{" else { return [:] }
        rest.removeFirst()
        var labels: [String: String] = [:]
        while true {
            let name = rest.prefix { $0 != "=" }
            guard isName(name), !name.contains(":"), rest.dropFirst(name.count).hasPrefix("=\"") else { return nil }
            rest = rest.dropFirst(name.count + 2)
            guard let value = quoted(&rest), labels.updateValue(value, forKey: String(name)) == nil else { return nil }
            switch rest.popFirst() {
            case ",": continue
            case "}": return labels
            default: return nil
            }
        }
    }

    /// The rest of a quoted value, and its closing quote.
    private static func quoted(_ rest: inout Substring) -> String? {
        var value = ""
        while let character = rest.popFirst() {
            switch character {
            case "\"": return value
            case "\\":
                switch rest.popFirst() {
                case "n": value += "\n"
                case "\\": value += "\\"
                case "\"": value += "\""
                default: return nil
                }
            default: value.append(character)
            }
        }
        return nil
    }

    private mutating func checkHistograms() {
        for family in types.keys where types[family] == "histogram" {
            let buckets = samples.filter { $0.name == family + "_bucket" }
            let bounds = buckets.compactMap { $0.labels["le"].flatMap { Self.number($0[...]) } }
            let counts = buckets.map(\.value)
            if bounds.count != buckets.count || bounds.last != .infinity
                || zip(bounds, bounds.dropFirst()).contains(where: >=)
            {
                faults.append("\(family): its bounds do not rise to +Inf")
            }
            if zip(counts, counts.dropFirst()).contains(where: >) { faults.append("\(family): its counts fall") }
            if counts.last != value(family + "_count") { faults.append("\(family): +Inf is not its count") }
            if value(family + "_sum") == nil { faults.append("\(family): it has no sum") }
        }
    }
}
