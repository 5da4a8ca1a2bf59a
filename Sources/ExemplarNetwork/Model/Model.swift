public import KernelInterface
import Safetensors
public import Transformations
import Tensors

/// A loaded network: its configuration, packed weights and plan; immutable, shared by every thread.
public final class Model: Sendable {
    public let configuration: NetworkConfiguration
    public let description: ModelDescription
    /// What the rows of the head stand for, from the folder's `labels.txt`; nil without one.
    public let labels: [String]?
    /// How each layer runs, in the network's order.
    public let plan: [PlanEntry]
    let network: Network

    /// Reads `folder`, validates it, packs the weights and reproduces the golden vectors, if there are any.
    ///
    /// - Parameters:
    ///   - memory: what the weights, and for their time the files and the self-test, take their memory from; nil for
    ///     the process's own limit.
    ///   - wrapped: kernels to run in place of the instruction set's own: the same, wrapped to be timed or recorded.
    /// - Throws: `ModelError`, one sentence that names the file, and the key or the tensor, and says what to do.
    public static func load(
        folder: String, options: ModelOptions = ModelOptions(), memory: (any MemorySource)? = nil,
        kernels wrapped: KernelTable? = nil
    ) throws(ModelError) -> Model {
        let instructionSet = options.instructionSet ?? .best
        guard let kernels = wrapped ?? KernelTable.table(for: instructionSet) else {
            throw ModelError(
                "This CPU cannot run \(instructionSet.rawValue); it has "
                    + InstructionSet.available.map(\.rawValue).joined(separator: ", "))
        }
        let files = try ModelFolder(path: folder)
        let (network, sha256, metadata) = try packed(files, options, kernels, from: memory)
        var selfTestError: Double?
        let golden = try files.golden(from: memory ?? network.ownLimit)
        do {
            if let golden {
                var own = network.ownLimit
                own.taken += golden.bytes.count
                selfTestError = try SelfTest.run(
                    network, golden: golden, input: files.configuration.input, accuracy: options.accuracy,
                    memory: memory ?? own)
            }
            // Golden outputs may be those of some layers alone.
            try SelfTest.checkFinite(network, memory: memory)
        } catch {
            throw ModelError("\(folder): \(error)")
        }
        return Model(files, network, options, sha256: sha256, metadata: metadata, selfTestError: selfTestError)
    }

    /// The network with its packed weights, and the checksum and metadata of the file that they were read from, whose
    /// memory is given back on return.
    private static func packed(
        _ files: ModelFolder, _ options: ModelOptions, _ kernels: KernelTable, from memory: (any MemorySource)?
    ) throws(ModelError) -> (Network, sha256: String, metadata: [String: String]) {
        var own = MemoryLimit.current()
        let weights = try files.weights(from: memory ?? own)
        own.taken = weights.bytes.count
        let network = try Network(
            configuration: files.configuration, layers: files.layers, kernels: kernels,
            algorithm: { layer, images in
                AlgorithmChoice.winograd(
                    layer, accuracy: options.accuracy, costs: CostModel(options.optimize, images: images))
            },
            parameters: weights, memory: memory ?? own)
        let metadata = shown(weights.metadata)
        return withExtendedLifetime(weights) { (network, ModelFolder.sha256(of: weights.bytes), metadata) }
    }

    /// Of metadata, in the order of their keys, what fits into 64 KiB: they go into every reply of the method `model`.
    private static func shown(_ metadata: [String: String]) -> [String: String] {
        var left = 64 << 10
        var shown: [String: String] = [:]
        for (key, text) in metadata.sorted(by: { $0.key < $1.key }) {
            let byteCount = key.utf8.count + text.utf8.count
            guard byteCount <= left else { continue }
            left -= byteCount
            shown[key] = text
        }
        return shown
    }

    private init(
        _ files: ModelFolder, _ network: Network, _ options: ModelOptions, sha256: String, metadata: [String: String],
        selfTestError: Double?
    ) {
        configuration = files.configuration
        labels = files.labels
        plan = network.entries(options.optimize)
        self.network = network
        let embedding = files.layers.first { $0.configuration.name == files.configuration.embedding }
        let head = files.layers.first { $0.configuration.name == files.configuration.head }
        description = ModelDescription(
            name: configuration.name, sha256: sha256, embedding: configuration.embedding,
            dimension: embedding?.output.count ?? 0, patchShape: configuration.input,
            layers: files.layers.map { layer in
                let output = layer.output
                let isMap = if case .linear = layer.configuration.kind { false } else { true }
                return ModelDescription.Layer(
                    name: layer.configuration.name, type: layer.configuration.type,
                    shape: isMap ? [output.channels, output.height, output.width] : [output.channels])
            },
            exemplars: head?.output.count, instructionSet: network.kernels.instructionSet,
            accuracy: options.accuracy, selfTest: selfTestError == nil ? "none" : "passed",
            selfTestError: selfTestError, metadata: metadata)
    }

    /// The embedding layer alone: g(x).
    public var embeddingOnly: LayerSelection {
        LayerSelection(
            indices: network.layers.indices.filter { network.layers[$0].configuration.name == configuration.embedding })
    }

    /// Every convolution and linear layer except the head.
    public var allLayers: LayerSelection {
        LayerSelection(
            indices: network.layers.indices.filter {
                network.layers[$0].isSelectable && network.layers[$0].configuration.name != configuration.head
            })
    }

    /// The layers named, in the network's order, repeats counted once; nil where a name is unknown or a pooling layer.
    public func selection(of names: [String]) -> LayerSelection? {
        var indices: Set<Int> = []
        for name in names {
            guard
                let index = network.layers.firstIndex(where: {
                    // Byte for byte: a client's name may be long, and what it means in Unicode takes long to compare.
                    $0.isSelectable && $0.configuration.name.utf8.elementsEqual(name.utf8)
                })
            else { return nil }
            indices.insert(index)
        }
        return indices.isEmpty ? nil : LayerSelection(indices: indices.sorted())
    }

    /// Where `selection(of:)` is nil: the first name that is no layer with outputs to embed with, and those that are.
    public func unknownLayer(among names: [String]) -> (name: String, known: [String]) {
        let known = network.layers.filter(\.isSelectable).map(\.configuration.name)
        return (names.first { name in !known.contains { $0.utf8.elementsEqual(name.utf8) } } ?? "", known)
    }

    /// The names of a selection's layers, in the network's order.
    public func names(of selection: LayerSelection) -> [String] {
        selection.indices.map { network.layers[$0].configuration.name }
    }

    /// Values in one row of an embedding of this selection: maps flattened in C, H, W order or pooled, layers
    /// concatenated.
    public func dimension(of selection: LayerSelection) -> Int { network.dimension(of: selection) }

    /// Draws α from the model's ranges; nil where its `config.json` has no `transformations`.
    public var sampler: TransformationSampler? {
        configuration.transformations.map { TransformationSampler(ranges: $0) }
    }

    /// Writes T_α of a patch as 8-bit pixels: the model's `input.count` bytes, H × W × C, each x · 255 to nearest.
    public func transform(_ input: EmbedderInput, into pixels: UnsafeMutablePointer<UInt8>) {
        network.filling.fill(pixels, of: configuration.input, from: input)
    }

    /// At most so many patches are computed sooner by a crew of `members` threads together than by each of them apart;
    /// 0 where a patch is too short for a crew that has to be woken.
    ///
    /// Threads apart read every linear layer's weights each for itself, a crew reads them once. The more patches, the
    /// less that counts, and apart one thread computes while another's replies are on their way: from a few on that is
    /// worth more, with two members and with eight.
    public func sharedBatch(members: Int) -> Int {
        members > 1 && multiplyAdds >= 10_000_000 ? 8 : 0
    }

    /// Whether a single patch is computed sooner by a crew of `members` threads that are awake than by one: where each
    /// has enough to do between two meetings, which take microseconds.
    public func isWorthSharing(members: Int) -> Bool {
        members > 1 && (multiplyAdds >= 10_000_000 || multiplyAdds >= 500_000 * members)
    }

    /// Of one patch, as the plan computes it.
    private var multiplyAdds: Int { plan.reduce(0) { $0 + $1.multiplyAdds } }

    /// Bytes of the packed weights.
    public var weightByteCount: Int { network.parameters.byteCount }

    /// An embedder for one thread, with memory planned for at most `maximumBatch` patches at a time.
    ///
    /// - Parameters:
    ///   - members: the most threads of a crew that can share a batch.
    ///   - memory: what it takes its memory from; nil for the process's own limit, of which the weights are taken.
    /// - Throws: `ModelError` if there is not so much memory.
    public func makeEmbedder(
        maximumBatch: Int, members: Int = 1, memory: (any MemorySource)? = nil
    ) throws(ModelError) -> Embedder {
        try Embedder(network: network, maximumBatch: maximumBatch, members: members, from: memory)
    }

    /// An embedder for one thread over images of `height` × `width`, at least the patch, in the network's fully
    /// convolutional form: a linear layer becomes a valid convolution whose window is the patch's map. The model's
    /// weights are shared; the memory is the embedder's own.
    ///
    /// - Parameters:
    ///   - members: the most threads of a crew that can share an image.
    ///   - memory: what it takes its memory from; nil for the process's own limit, of which the weights are taken.
    /// - Throws: `ModelError` if the image is smaller than the patch or too large, or if there is not so much memory.
    public func makeEmbedder(
        maximumBatch: Int, height: Int, width: Int, members: Int = 1, memory: (any MemorySource)? = nil
    ) throws(ModelError) -> Embedder {
        try Embedder(
            network: network.resized(height: height, width: width), maximumBatch: maximumBatch, members: members,
            from: memory)
    }

    /// Bytes that an embedder for such images would hold, without making it.
    ///
    /// - Throws: `ModelError` if the image is smaller than the patch or too large.
    public func embedderByteCount(
        maximumBatch: Int, height: Int, width: Int, members: Int = 1
    ) throws(ModelError) -> Int {
        try Embedder.byteCount(
            of: network.resized(height: height, width: width), maximumBatch: maximumBatch, members: members)
    }

    /// Values in one row of this selection's embedding of an image of `height` × `width`.
    ///
    /// - Throws: `ModelError` if the image is smaller than the patch or too large.
    public func dimension(of selection: LayerSelection, height: Int, width: Int) throws(ModelError) -> Int {
        let layers = try PlannedLayer.sequence(network.layers, height: height, width: width)
        return selection.indices.reduce(0) { $0 + selection.pooling.count(of: layers[$1].output) }
    }

    /// [C, H, W] of the output of `layer` for an image of `height` × `width`.
    ///
    /// - Throws: `ModelError` if there is no such layer, or if the image is smaller than the patch or too large.
    public func shape(of layer: String, height: Int, width: Int) throws(ModelError) -> [Int] {
        let layers = try PlannedLayer.sequence(network.layers, height: height, width: width)
        guard let output = layers.first(where: { $0.configuration.name == layer })?.output else {
            throw ModelError("\(configuration.name) has no layer \(layer).")
        }
        return [output.channels, output.height, output.width]
    }
}
