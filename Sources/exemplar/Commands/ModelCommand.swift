import ExemplarClient
import ExemplarNetwork
import ExemplarServer
import Glibc
import JSONRPC
import KernelInterface

extension Command {
    static let model = Command(
        name: "model", summary: "describe a model",
        discussion: """
            Shows what a server has loaded, or, with --model, what is in a model folder: the SHA-256 of its weights, \
            its layers with their output shapes for one patch (channels × rows × columns), and whether it reproduced \
            its golden vectors when it was loaded (self-test). --plan adds how each layer runs on this machine: its \
            algorithm, register tile (rows × vectors of 16 channels), blocking, packed weights, multiply-adds executed \
            and by definition for one patch, and the share of time that the planner expects.
            """,
        options: [
            Option("json", help: "Write one line of JSON, as the method model answers, without what is the server's"),
            Option("plan", help: "With --model: show how each layer runs"),
        ] + ModelChoice.options + ServerAddress.options(),
        examples: ["exemplar model", "exemplar model --model models/small --json"],
        run: runModel)
}

private func runModel(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    var description: JSONValue
    let showsPlan = try arguments.isOn("plan")
    switch try ModelChoice(arguments) {
    case .folder(let folder, let options):
        let network = try LocalNetwork(folder: folder, options: options).network
        description = network.description.json
        if showsPlan, case .object(let members) = description {
            description = .object(members + [.init("plan", .array(network.plan.map(\.json)))])
        }
    case .served(let name):
        guard !showsPlan else { throw .usage("--plan is for --model: a server does not tell its plan") }
        description = try RemoteServer(arguments, model: name).description()
    }
    if try arguments.isOn("json") {
        try writeOutput(description)
    } else {
        try writeOutput(modelTable(description))
    }
    return 0
}

extension PlanEntry {
    var json: JSONValue {
        [
            "layer": .string(layer), "algorithm": .string(algorithm),
            "tile": .array([.int(tileRows), .int(tileVectors)]),
            "blocking": .string(blocking), "packed_bytes": .int(packedByteCount), "multiply_adds": .int(multiplyAdds),
            "effective_multiply_adds": .int(effectiveMultiplyAdds), "share": .double(share),
        ]
    }
}

/// What a person wants to know of a model, from the members of the method `model`.
func modelTable(_ model: JSONValue) -> String {
    var rows: [[String]] = []
    func add(_ label: String, _ text: String) {
        if !text.isEmpty { rows.append([label, text]) }
    }
    add("name", text(model["name"]))
    add("sha256", text(model["sha256"]))
    add("patch", text(model["patch_shape"]) + " (rows × columns × channels)")
    add("embedding", "\(text(model["embedding"])), \(text(model["dim"])) values")
    add("exemplars", text(model["exemplars"]))
    add("isa", text(model["isa"]))
    add("accuracy", text(model["accuracy"]))
    add("threads", text(model["threads"]))
    var selfTest = text(model["self_test"])
    if case .double(let error) = model["self_test_error"] {
        // Three digits are as many as a measured error has.
        let scale = pow(10, 2 - log10(max(error, 1e-30)).rounded(.down))
        selfTest += ", off by \((error * scale).rounded() / scale) of the RMS"
    }
    add("self-test", selfTest)
    if case .object(let metadata) = model["metadata"] {
        for member in metadata { add("metadata", "\(member.key.printable): \(text(member.value))") }
    }

    var layers = [["layer", "type", "output"]]
    if case .array(let entries) = model["layers"] {
        layers += entries.map { [text($0["name"]), text($0["type"]), text($0["shape"])] }
    }
    guard case .array(let plan) = model["plan"] else { return aligned(rows) + "\n" + aligned(layers) }
    return aligned(rows) + "\n" + aligned(layers) + "\n" + planTable(plan)
}

/// The plan in megabytes and millions; what a pooling layer does not have stays empty.
private func planTable(_ plan: [JSONValue]) -> String {
    func millions(_ value: JSONValue?) -> String {
        guard case .int(let number) = value, number > 0 else { return "" }
        return decimal(Double(number) / 1e6)
    }
    var rows = [["layer", "algorithm", "tile", "blocking", "packed MB", "M multiply-adds", "by definition", "time"]]
    for entry in plan {
        let share: Double = if case .double(let share) = entry["share"] { share } else { 0 }
        let tile = entry["tile"] == [0, 0] ? "" : text(entry["tile"])
        rows.append([
            text(entry["layer"]), text(entry["algorithm"]), tile, text(entry["blocking"]),
            millions(entry["packed_bytes"]), millions(entry["multiply_adds"]),
            millions(entry["effective_multiply_adds"]), share > 0 ? decimal(100 * share) + " %" : "",
        ])
    }
    return aligned(rows)
}

/// A number that is not negative, with one decimal, two where it is small.
private func decimal(_ number: Double) -> String { fixed(number, number < 1 ? 2 : 1) }

/// A value in a cell; lists are shapes.
private func text(_ value: JSONValue?) -> String {
    switch value {
    case .string(let text): text.printable
    case .int(let number): String(number)
    case .double(let number): String(number)
    case .bool(let flag): flag ? "yes" : "no"
    case .array(let elements): elements.map { text($0) }.joined(separator: " × ")
    case .null, .object, nil: ""
    }
}
