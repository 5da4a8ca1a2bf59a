import ExemplarNetwork
import KernelInterface

/// Which model answers: a folder loaded into this process, or one that a server has loaded.
enum ModelChoice {
    case folder(String, ModelOptions)
    /// By name; nil for the server's default.
    case served(String?)

    static let options = [
        Option("model", "FOLDER", help: "Load this model folder and do without a server"),
        Option(
            "isa", "NAME", environment: "EXEMPLAR_ISA", default: "auto",
            help: "With --model: auto, the widest that this CPU has, or \(words(InstructionSet.self))"),
        Option(
            "accuracy", "NAME", environment: "EXEMPLAR_ACCURACY", default: ModelOptions().accuracy.rawValue,
            help: "With --model: \(words(Accuracy.self))"),
        Option(
            "optimize", "GOAL", environment: "EXEMPLAR_OPTIMIZE", default: ModelOptions().optimize.rawValue,
            help: "With --model: \(words(Optimization.self)); weighs the choice of algorithms"),
        Option("model-name", "NAME", help: "Ask the server for this one of its models; without it, for its default"),
    ]

    init(_ arguments: ParsedArguments) throws(CommandError) {
        guard let folder = arguments.value("model") else {
            for name in ["isa", "accuracy", "optimize"] where arguments.isGiven(name) {
                throw .usage("--\(name) is for --model; a server was given its own when it was started")
            }
            self = .served(arguments.value("model-name"))
            return
        }
        for name in ["host", "port", "unix", "token-file", "timeout", "model-name"] where arguments.isGiven(name) {
            throw .usage("--model does without a server, so --\(name) means nothing beside it")
        }
        self = .folder(folder, try ModelOptions(arguments))
    }
}

extension ModelOptions {
    init(_ arguments: ParsedArguments) throws(CommandError) {
        self.init(
            instructionSet: arguments.text("isa") == "auto"
                ? nil : try arguments.choice("isa", of: InstructionSet.self),
            accuracy: try arguments.choice("accuracy", of: Accuracy.self),
            optimize: try arguments.choice("optimize", of: Optimization.self))
    }
}

extension ModelChoice {
    /// The folder loaded, or the server asked.
    func source(_ arguments: ParsedArguments) throws(CommandError) -> any EmbeddingSource {
        switch self {
        case .folder(let folder, let options): try LocalNetwork(folder: folder, options: options)
        case .served(let name): try RemoteNetwork(RemoteServer(arguments, model: name))
        }
    }
}
