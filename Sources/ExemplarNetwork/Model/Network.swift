import KernelInterface
import Safetensors
import Tensors

/// A network's plan with its packed parameters: all that a forward pass reads, shared by every thread.
struct Network: Sendable {
    /// With the shapes of the inputs that the plan is for.
    private(set) var layers: [PlannedLayer]
    private(set) var plan: ExecutionPlan
    let kernels: KernelTable
    let filling: InputFilling
    let parameters: Slab
    /// What `parameters` takes of the memory's source.
    private let share: (any MemoryShare)?
    /// By layer: the factor of its quadrant features.
    let featureScales: [Float]
    /// Floats of the longest row that can be asked for: every selectable layer, or a pooling layer in the self-test.
    private(set) var outputCount: Int

    /// Plans `configuration` for `kernels` and packs its parameters.
    ///
    /// - Parameters:
    ///   - algorithm: chooses for each layer, as `ExecutionPlan` says.
    ///   - file: the tensors by name. The weights of a linear layer are kept as they are stored where the kernels can.
    ///   - memory: what the packed parameters are taken from.
    /// - Throws: `ModelError` if a tensor is missing or overflows, or if there is not so much memory.
    init(
        configuration: NetworkConfiguration, layers: [PlannedLayer], kernels: KernelTable,
        algorithm: (PlannedLayer, _ images: Int) -> WinogradShape?, parameters file: SafetensorsFile,
        memory: any MemorySource = MemoryLimit.current()
    ) throws(ModelError) {
        self.layers = layers
        self.kernels = kernels
        filling = InputFilling(configuration, kernels: kernels)
        plan = ExecutionPlan(
            layers: layers,
            input: FeatureShape(
                channels: configuration.input.channels, height: configuration.input.height,
                width: configuration.input.width),
            kernels: kernels, caches: .current,
            weightType: {
                kernels.takesHalfWeights ? WeightType(of: $0.configuration.name + ".weight", in: file) : .float32
            },
            algorithm: algorithm)
        featureScales = layers.map { configuration.featureScales[$0.configuration.name] ?? 1 }
        outputCount = Self.outputCount(layers)
        share = try memory.take(
            plan.parameterCount * MemoryLayout<Float>.stride, for: "The packed weights of \(configuration.name)",
            advice: "load a smaller model")
        do {
            parameters = try Arena().allocate(count: plan.parameterCount, zeroed: false)
        } catch {
            throw ModelError("No memory for the weights of \(configuration.name). \(error)")
        }
        for (layer, step) in zip(layers, plan.steps) {
            let place: ExecutionPlan.Parameters
            switch step {
            case .direct(let step): place = step.parameters
            case .linear(_, let parameters), .winograd(_, let parameters): place = parameters
            case .maxPool: continue
            }
            let window = layer.window.height * layer.window.width
            let weights = try StoredTensor(
                layer.configuration.name + ".weight",
                count: layer.output.channels * layer.input.channels * window, in: file)
            let bias = try StoredTensor(layer.configuration.name + ".bias", count: layer.output.channels, in: file)
            let packed = parameters.base + place.weights
            switch step {
            case .direct(let step): step.product.pack(weights, window: window, into: packed)
            case .linear(let product, _): product.pack(weights, window: window, into: packed)
            case .winograd(let convolution, _):
                convolution.pack(weights, into: packed)
                guard Self.areFinite(packed, count: convolution.weightCount) else {
                    throw ModelError(
                        "The tensor \(layer.configuration.name).weight of \(configuration.name) has values so large "
                            + "that their Winograd transforms overflow float32: train or export the model again.")
                }
            case .maxPool: break
            }
            let packedBias = parameters.base + place.bias
            packedBias.update(repeating: 0, count: MapLayout.padded(layer.output.channels))
            bias.read(0..<layer.output.channels, into: packedBias)
        }
    }

    private static func areFinite(_ values: UnsafePointer<Float>, count: Int) -> Bool {
        // Never left early: the compiler makes the loop of vectors.
        var finite = true
        for index in 0..<count { finite = values[index].isFinite && finite }
        return finite
    }

    /// This network over images of `height` × `width`, at least the patch: another plan over the same parameters, which
    /// for the patch's own size gives the same bits.
    ///
    /// - Throws: `ModelError` if the image is smaller than the patch, or too large.
    func resized(height: Int, width: Int) throws(ModelError) -> Network {
        var network = self
        network.layers = try PlannedLayer.sequence(layers, height: height, width: width)
        guard let input = network.layers.first?.input else { return self }
        network.plan = plan.resized(layers: network.layers, input: input, kernels: kernels, caches: .current)
        assert(network.plan.parameterCount == parameters.count, "another packing")
        network.outputCount = Self.outputCount(network.layers)
        return network
    }

    /// The process's own limit, of which the parameters are taken.
    var ownLimit: MemoryLimit {
        var limit = MemoryLimit.current()
        limit.taken = parameters.byteCount
        return limit
    }

    private static func outputCount(_ layers: [PlannedLayer]) -> Int {
        let selectable = layers.filter(\.isSelectable).map(\.output)
        let rows = Pooling.allCases.map { pooling in selectable.reduce(0) { $0 + pooling.count(of: $1) } }
        return max(rows.max() ?? 0, layers.map(\.output.count).max() ?? 0)
    }

    /// Values in one row of this selection.
    func dimension(of selection: LayerSelection) -> Int {
        selection.indices.reduce(0) { $0 + selection.pooling.count(of: layers[$1].output) }
    }
}

extension PlannedLayer {
    /// Whether a request may ask for this layer's output: convolution and linear layers.
    var isSelectable: Bool {
        if case .maxPool = configuration.kind { false } else { true }
    }
}
