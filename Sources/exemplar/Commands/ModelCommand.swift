import ExemplarClient
import ExemplarNetwork
import ExemplarServer
import JSONRPC
import KernelInterface

extension Command {
    static let model = Command(
        name: "model", summary: "describe a model",
        discussion: """
            Shows what a server has loaded, or, with --model, what is in a model folder: the SHA-256 of its weights, its \
            layers with their output shapes for one patch (channels × rows × columns), and whether it reproduced its \
            golden vectors when it was loaded (self-test).
            """,
        options: [Option("json", help: "Write one line of JSON, as the server's method model answers")]
            + ModelChoice.options + ServerAddress.options(),
        examples: ["exemplar model", "exemplar model --model models/small --json"],
        run: runModel)
}

private func runModel(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    let description: JSONValue
    switch try ModelChoice(arguments) {
    case .folder(let folder, let options):
        description = try LocalNetwork(folder: folder, options: options).network.description.json
    case .served(let name):
        description = try RemoteServer(arguments, model: name).description()
    }
    if try arguments.isOn("json") {
        var text = ByteBuffer()
        text.append(json: description)
        text.append(UInt8(ascii: "\n"))
        try text.withUnsafeBytes { bytes throws(CommandError) in try writeOutput(bytes, to: nil) }
    } else {
        try writeOutput(modelTable(description))
    }
    return 0
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
    add("self-test", text(model["self_test"]))

    var layers = [["layer", "type", "output"]]
    if case .array(let entries) = model["layers"] {
        layers += entries.map { [text($0["name"]), text($0["type"]), text($0["shape"])] }
    }
    return aligned(rows) + "\n" + aligned(layers)
}

/// A value in a cell; lists are shapes.
private func text(_ value: JSONValue?) -> String {
    switch value {
    case .string(let text): text
    case .int(let number): String(number)
    case .double(let number): String(number)
    case .bool(let flag): flag ? "yes" : "no"
    case .array(let elements): elements.map { text($0) }.joined(separator: " × ")
    case .null, .object, nil: ""
    }
}

/// Rows with their columns under one another, each ended by a line feed.
private func aligned(_ rows: [[String]]) -> String {
    var widths: [Int] = []
    for row in rows {
        for (column, cell) in row.enumerated() {
            if column == widths.count { widths.append(0) }
            widths[column] = max(widths[column], cell.count)
        }
    }
    return rows.map { row in
        row.enumerated().map { column, cell in
            column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] + 2 - cell.count)
        }.joined() + "\n"
    }.joined()
}
