/// A command line read by a command's table of options: the flag wins over the environment, that over the default.
struct ParsedArguments {
    private(set) var operands: [String] = []
    private let options: [Option]
    private let environment: [String: String]
    /// By option name, in the order given; a switch has empty values.
    private var given: [String: [String]] = [:]

    /// Reads `arguments`: `--name value`, `--name=value`, `-n value`; `--` ends the options.
    init(
        _ arguments: [String], options: [Option], operands expected: Operands, environment: [String: String]
    ) throws(CommandError) {
        self.options = options
        self.environment = environment
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                operands += rest
                break
            }
            guard argument.hasPrefix("-"), argument != "-" else {
                operands.append(argument)
                continue
            }
            let (option, attached) = try ParsedArguments.match(argument, among: options)
            var value = ""
            if let placeholder = option.placeholder {
                guard let found = attached ?? rest.popFirst() else {
                    throw .usage("--\(option.name) needs a value: --\(option.name) \(placeholder)")
                }
                value = found
            } else if attached != nil {
                throw .usage("--\(option.name) takes no value")
            }
            guard option.repeats || given[option.name] == nil else {
                throw .usage("--\(option.name) was given twice")
            }
            given[option.name, default: []].append(value)
        }
        switch expected {
        case .none:
            if let operand = operands.first {
                throw .usage("'\(operand)' is not an option, and nothing else is expected here")
            }
        case .one(let name):
            if operands.isEmpty { throw .usage("no \(name) given") }
            if operands.count > 1 { throw .usage("one \(name) is expected, and '\(operands[1])' is another") }
        case .several(let name):
            if operands.isEmpty { throw .usage("no \(name) given") }
        }
    }

    /// Whether `--help` is asked for. Nothing else has to be right for it to work.
    static func asksForHelp(_ arguments: [String]) -> Bool {
        arguments.prefix { $0 != "--" }.contains { $0 == "--help" || $0 == "-h" }
    }

    private static func match(
        _ argument: String, among options: [Option]
    ) throws(CommandError) -> (option: Option, attached: String?) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let flag = String(parts.first ?? "")
        let option = options.first { option in
            flag == "--\(option.name)" || option.letter.map { flag == "-\($0)" } ?? false
        }
        guard let option else {
            let known = options.map { "--\($0.name)" } + ["--help"]
            throw .usage("there is no option \(flag)\(didYouMean(flag, among: known))")
        }
        return (option, parts.count > 1 ? String(parts[1]) : nil)
    }

    /// Whether the option stands on the command line itself.
    func isGiven(_ name: String) -> Bool { given[name] != nil }

    /// Every value of an option: the flag's, else the environment's, else the default, else none.
    func values(_ name: String) -> [String] {
        if let values = given[name] { return values }
        let option = options.first { $0.name == name }
        if let value = option?.environment.flatMap({ environment[$0] }), !value.isEmpty { return [value] }
        return option?.defaultValue.map { [$0] } ?? []
    }

    /// The value of an option that does not repeat; nil where there is none.
    func value(_ name: String) -> String? { values(name).first }

    /// The value of an option that has a default.
    func text(_ name: String) -> String { defaulted(name, value(name)) }

    /// Whether a switch is on: given, or 1, true or yes in the environment.
    func isOn(_ name: String) throws(CommandError) -> Bool {
        guard given[name] == nil else { return true }
        guard let value = value(name) else { return false }
        switch value {
        case "1", "true", "yes": return true
        case "0", "false", "no": return false
        default: throw .usage("\(origin(name)) is '\(value)'; it must be 1 or 0")
        }
    }

    /// An option that has a default, as a whole number.
    func integer(_ name: String, in range: ClosedRange<Int>) throws(CommandError) -> Int {
        defaulted(name, try optionalInteger(name, in: range))
    }

    /// An option as a whole number; nil where it has no value.
    func optionalInteger(_ name: String, in range: ClosedRange<Int>) throws(CommandError) -> Int? {
        guard let text = value(name) else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw .usage(
                "\(origin(name)) is '\(text)'; it must be a whole number from \(range.lowerBound) to "
                    + "\(range.upperBound)")
        }
        return number
    }

    /// An option that has a default, as a time: seconds, perhaps with a fraction.
    func seconds(_ name: String) throws(CommandError) -> Duration {
        let text = text(name)
        guard let number = Double(text), (0...1e9).contains(number) else {
            throw .usage("\(origin(name)) is '\(text)'; it must be a number of seconds from 0 to 1000000000")
        }
        return .seconds(number)
    }

    /// An option that has a default, as one of an enumeration's words.
    func choice<Word: RawRepresentable & CaseIterable>(
        _ name: String, of type: Word.Type
    ) throws(CommandError) -> Word where Word.RawValue == String {
        defaulted(name, try optionalChoice(name, of: type))
    }

    /// An option as one of an enumeration's words; nil where it has no value.
    func optionalChoice<Word: RawRepresentable & CaseIterable>(
        _ name: String, of type: Word.Type
    ) throws(CommandError) -> Word? where Word.RawValue == String {
        guard let text = value(name) else { return nil }
        if let word = Word(rawValue: text) { return word }
        let words = Word.allCases.map(\.rawValue)
        throw .usage(
            "\(origin(name)) is '\(text)'; it must be one of \(words.joined(separator: ", "))"
                + didYouMean(text, among: words))
    }

    private func defaulted<Value>(_ name: String, _ value: Value?) -> Value {
        guard let value else { preconditionFailure("--\(name) has no default in its command's table") }
        return value
    }

    /// Where an option's value came from, to put into an error.
    func origin(_ name: String) -> String {
        guard given[name] == nil, let option = options.first(where: { $0.name == name }),
            let variable = option.environment, environment[variable] != nil
        else { return "--\(name)" }
        return variable
    }
}
