/// One subcommand: a row of the table that dispatch and help are made from.
struct Command: Sendable {
    var name: String
    /// One line, for the overview.
    var summary: String
    var operands: Operands = .none
    /// What a user has to know beyond the options.
    var discussion: String
    var options: [Option]
    var examples: [String]
    var run: @Sendable (ParsedArguments) throws(CommandError) -> Int32

    /// The text of `exemplar NAME --help`.
    var help: String {
        var usage = "exemplar \(name)"
        switch operands {
        case .none: break
        case .one(let operand): usage += " \(operand)"
        case .several(let operand): usage += " \(operand)..."
        }
        return """
            exemplar \(name): \(summary)

            Usage: \(usage) [OPTIONS]

            \(HelpText.wrapped(discussion, to: HelpText.width).joined(separator: "\n"))

            Options:
            \(HelpText.table(options.map(HelpText.row) + [("--help, -h", "Show this")]))
            Examples:
            \(examples.map { "  " + $0 + "\n" }.joined())
            """
    }
}
