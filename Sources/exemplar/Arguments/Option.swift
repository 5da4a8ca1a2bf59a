/// One option of a command: a row of its table, from which parsing, help and the environment follow.
struct Option: Sendable {
    /// Without the dashes.
    var name: String
    /// The letter of a short form.
    var letter: Character?
    /// What stands for the value in help; nil for a switch, which has none.
    var placeholder: String?
    /// The environment variable that stands in where the option is not given.
    var environment: String?
    /// What holds where neither is given.
    var defaultValue: String?
    /// Whether it may be given more than once.
    var repeats: Bool
    var help: String

    init(
        _ name: String, letter: Character? = nil, _ placeholder: String? = nil, environment: String? = nil,
        default defaultValue: (any CustomStringConvertible)? = nil, repeats: Bool = false, help: String
    ) {
        self.name = name
        self.letter = letter
        self.placeholder = placeholder
        self.environment = environment
        self.defaultValue = defaultValue?.description
        self.repeats = repeats
        self.help = help
    }

    /// As in help: `--output, -o FILE`.
    var synopsis: String {
        "--\(name)" + (letter.map { ", -\($0)" } ?? "") + (placeholder.map { " \($0)" } ?? "")
    }
}

extension Duration {
    /// As options take it: seconds, with a fraction where there is one.
    var inSeconds: String {
        let seconds = self / .seconds(1)
        return seconds == seconds.rounded() ? "\(Int(seconds))" : "\(seconds)"
    }
}

/// What may stand on the command line beside the options.
enum Operands: Sendable {
    case none
    /// Exactly one, called this in help and in errors.
    case one(String)
    /// One or more, called this in help and in errors.
    case several(String)
}

/// The words of a choice, for help.
func words<Word: RawRepresentable & CaseIterable>(_ type: Word.Type) -> String where Word.RawValue == String {
    Word.allCases.map(\.rawValue).joined(separator: ", ")
}
