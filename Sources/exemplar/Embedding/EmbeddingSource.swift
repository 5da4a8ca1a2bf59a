import ExemplarNetwork

/// Who computes embeddings: a running server, or the network in this process. Both give the same numbers.
protocol EmbeddingSource {
    /// The patch that the network reads.
    var patchShape: NetworkConfiguration.PatchShape { get }

    /// One row a patch, in the order given. Each patch holds `patchShape.count` bytes.
    ///
    /// - Parameter progress: is told from time to time how many patches have their rows.
    func embed(
        _ patches: [[UInt8]], layers: LayerChoice, normalized: Bool, progress: (Int) -> Void
    ) throws(CommandError) -> EmbeddingTable
}

/// Which layers' outputs are wanted.
enum LayerChoice: Equatable, Sendable {
    /// The embedding layer alone.
    case embedding
    /// Every convolution and linear layer except the head.
    case all
    case named([String])

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
}
