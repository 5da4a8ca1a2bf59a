import ExemplarServer
import FoundationEssentials
import Glibc
import JSONRPC

/// The command line: finds the subcommand in the table, parses its arguments, runs it, explains what went wrong.
@main
struct Exemplar {
    static let version = Server.version

    /// A new subcommand is one row.
    static let commands: [Command] = [
        .serve, .embed, .model, .health, .surrogates, .bound, .invariance, .load,
    ]

    static func main() {
        exit(run(Array(CommandLine.arguments.dropFirst()), environment: ProcessInfo.processInfo.environment))
    }

    /// Runs one command line and returns its exit status: 0, 1 for a failure, 64 for a misuse (sysexits' EX_USAGE).
    static func run(_ arguments: [String], environment: [String: String]) -> Int32 {
        var name = "exemplar"
        do throws(CommandError) {
            guard let first = arguments.first else { throw CommandError.usage("no command") }
            switch first {
            case "--help", "-h", "help":
                guard arguments.count <= 2 else { throw CommandError.usage("\(first) takes one command") }
                try writeOutput(arguments.count == 1 ? overview : command(arguments[1]).help)
                return 0
            case "--version":
                guard arguments.count == 1 else { throw CommandError.usage("--version takes no arguments") }
                try writeOutput("exemplar \(version)\n")
                return 0
            default: break
            }
            let command = try command(first)
            name = "exemplar \(command.name)"
            let rest = Array(arguments.dropFirst())
            if ParsedArguments.asksForHelp(rest) {
                try writeOutput(command.help)
                return 0
            }
            return try command.run(
                try ParsedArguments(
                    rest, options: command.options, operands: command.operands, environment: environment))
        } catch {
            writeError("\(name): \(error.message.printable)")
            if error.isMisuse { writeError("See `\(name) --help`.") }
            return error.status
        }
    }

    static func command(_ name: String) throws(CommandError) -> Command {
        if let command = commands.first(where: { $0.name == name }) { return command }
        let kind = name.hasPrefix("-") ? "option" : "command"
        // After `help` these are no commands.
        let known = commands.map(\.name) + ["--help", "--version"].filter { $0 != name }
        throw .usage("there is no \(kind) \(name)\(didYouMean(name, among: known))")
    }

    /// The text of `exemplar --help`.
    static var overview: String {
        let rows = commands.map { ($0.name, $0.summary) }
        return """
            exemplar \(version): embeddings of image patches by Exemplar-CNNs, on CPUs

            Usage: exemplar COMMAND [ARGUMENTS]

            Commands:
            \(HelpText.table(rows))
            Options:
            \(HelpText.table([("--help, -h", "Show this, or a command's own help after its name"),
                              ("--version", "Show the version")]))
            Options whose help names a variable, those of serve above all, can be given in the environment, too:
            EXEMPLAR_PORT=7351.
            Exit status: 0, or 1 when something failed, or 64 when the command line was wrong.

            """
    }
}
