import ExemplarNetwork
import JSONRPC

/// A running server, asked over its line protocol.
struct RemoteServer: EmbeddingSource {
    let patchShape = NetworkConfiguration.PatchShape(height: 32, width: 32, channels: 3)

    init(_ arguments: ParsedArguments, model: String?) throws(CommandError) {
        throw .failure("no client yet")
    }

    func description() throws(CommandError) -> JSONValue { .null }
    func health(liveOnly: Bool) throws(CommandError) -> String { "" }
    func embed(_ patches: [[UInt8]], layers: LayerChoice, normalized: Bool) throws(CommandError) -> EmbeddingTable {
        throw .failure("no client yet")
    }
}
