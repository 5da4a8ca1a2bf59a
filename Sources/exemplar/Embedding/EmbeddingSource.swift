import ExemplarNetwork
import JSONRPC

/// Who computes embeddings: a running server, or the network in this process. Both give the same numbers.
protocol EmbeddingSource {
    /// The patch that the network reads.
    var patchShape: NetworkConfiguration.PatchShape { get }

    /// One row a patch, in the order given. Each patch holds `patchShape.count` bytes.
    ///
    /// - Parameter progress: is told from time to time how many patches have their rows.
    func embed(
        _ patches: [[UInt8]], layers: EmbedRequest.Layers, normalized: Bool, progress: (Int) -> Void
    ) throws(CommandError) -> Embeddings
}

extension EmbedRequest.Layers {
    /// Reads `--layers`: `all`, or names with commas between them.
    init(_ text: String?) throws(CommandError) {
        guard let text else {
            self = .embedding
            return
        }
        guard text != "all" else {
            self = .all
            return
        }
        let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard !names.contains("") else {
            throw .usage("--layers is '\(text)'; it must be names with commas between them, such as conv1,fc, or all")
        }
        self = .named(names)
    }

    /// As parameters of `embed`.
    var params: [JSONValue.Member] {
        switch self {
        case .embedding: []
        case .all: [.init("layers", "all")]
        case .named(let names): [.init("layers", .array(names.map(JSONValue.string)))]
        }
    }
}
