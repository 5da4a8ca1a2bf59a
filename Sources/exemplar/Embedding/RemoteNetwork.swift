import ExemplarClient
import ExemplarNetwork
import JSONRPC

/// A model that a server has loaded: embeddings over the line protocol.
struct RemoteNetwork: EmbeddingSource {
    private let server: RemoteServer
    let patchShape: NetworkConfiguration.PatchShape

    /// Asks the server for its model's patch size.
    init(_ server: RemoteServer) throws(CommandError) {
        self.server = server
        let description = try server.description()
        guard case .array(let shape) = description["patch_shape"], shape.count == 3,
            case .int(let height) = shape[0], case .int(let width) = shape[1], case .int(let channels) = shape[2],
            NetworkConfiguration.PatchShape.sides.contains(height),
            NetworkConfiguration.PatchShape.sides.contains(width),
            NetworkConfiguration.PatchShape.channelCounts.contains(channels)
        else {
            throw .failure("The server at \(server.address) did not say which patches its model reads.")
        }
        patchShape = .init(height: height, width: width, channels: channels)
    }

    /// How many patches go to the client at a time: enough that its requests stay in flight, few enough to see them go.
    private static let patchesPerCall = 4096

    func embed(
        _ patches: [[UInt8]], layers: EmbedRequest.Layers, normalized: Bool, progress: (Int) -> Void
    ) throws(CommandError) -> Embeddings {
        var options: [JSONValue.Member] = []
        if let model = server.model { options.append(.init("model", .string(model))) }
        options += layers.params
        if normalized { options.append(.init("normalize", "l2")) }
        let client = try explained(server.connect)
        var embeddings: Embeddings?
        var rest = patches[...]
        while !rest.isEmpty {
            let pixels = Array(rest.prefix(Self.patchesPerCall).joined())
            rest = rest.dropFirst(Self.patchesPerCall)
            try explained { () throws(ClientError) in
                let rows = try client.embed(
                    patches: pixels, patchByteCount: patchShape.count, options: options)
                if embeddings == nil {
                    embeddings = rows
                } else if embeddings?.append(rows) != true {
                    throw .modelChanged(server.address)
                }
            }
            progress(patches.count - rest.count)
        }
        guard let embeddings else { throw .failure("There are no patches to embed.") }
        return embeddings
    }
}
