import ExemplarNetwork
import JSONRPC

/// A model folder, loaded into this process: embeddings without a server.
struct LocalNetwork: EmbeddingSource {
    let network: Model

    init(folder: String, options: ModelOptions = ModelOptions()) throws(CommandError) {
        network = try explained { () throws(ModelError) in try Model.load(folder: folder, options: options) }
    }

    var patchShape: NetworkConfiguration.PatchShape { network.configuration.input }

    /// Enough patches at a time that the linear layers are matrix products; more would only take memory.
    private static let maximumBatch = 16

    func embed(
        _ patches: [[UInt8]], layers: EmbedRequest.Layers, normalized: Bool, progress: (Int) -> Void
    ) throws(CommandError) -> Embeddings {
        let selection = try selection(layers)
        var table = Embeddings(
            model: network.description.name, layers: network.names(of: selection),
            dimension: network.dimension(of: selection), values: [])
        let embedder = try explained { () throws(ModelError) in
            try network.makeEmbedder(maximumBatch: max(1, min(patches.count, Self.maximumBatch)))
        }
        var rest = patches[...]
        while !rest.isEmpty {
            let batch = rest.prefix(embedder.maximumBatch)
            rest = rest.dropFirst(batch.count)
            let pixels = Array(batch.joined())
            pixels.withUnsafeBytes { pixels in
                guard let start = pixels.baseAddress else { return }
                let inputs = (0..<batch.count).map {
                    EmbedderInput(
                        pixels: PatchPixels(address: start + $0 * patchShape.count, format: .uint8),
                        height: patchShape.height, width: patchShape.width)
                }
                inputs.withUnsafeBufferPointer { inputs in
                    let rows = embedder.embed(inputs, selection)
                    for row in 0..<rows.rows { table.values += rows[row] }
                }
            }
            progress(patches.count - rest.count)
        }
        if normalized { table.normalize() }
        return table
    }

    private func selection(_ layers: EmbedRequest.Layers) throws(CommandError) -> LayerSelection {
        switch layers {
        case .embedding: return network.embeddingOnly
        case .all: return network.allLayers
        case .named(let names):
            if let selection = network.selection(of: names) { return selection }
            let (wrong, known) = network.unknownLayer(among: names)
            let hint = didYouMean(wrong, among: known)
            throw .failure(
                "\(network.description.name) has no layer \(wrong) to embed with; it has "
                    + "\(known.joined(separator: ", "))\(hint.isEmpty ? "." : hint)")
        }
    }
}
