import KernelInterface
import Tensors

/// A network's plan with its packed parameters: all that a forward pass reads, shared by every thread.
struct Network: Sendable {
    /// With the shapes of the inputs that the plan is for.
    private(set) var layers: [PlannedLayer]
    private(set) var plan: ExecutionPlan
    let kernels: KernelTable
    let pixels: PixelTable
    let parameters: Slab
    /// By layer: the factor of its quadrant features.
    let featureScales: [Float]
    /// Floats of the longest row that can be asked for: every selectable layer, or a pooling layer in the self-test.
    private(set) var outputCount: Int

    /// Plans `configuration` for `kernels` and packs its parameters.
    ///
    /// - Parameters:
    ///   - weightType: how a linear layer's weights are stored, and so kept where the kernels can.
    ///   - algorithm: chooses for each layer, as `ExecutionPlan` says.
    ///   - source: the tensors by name, in the layout of the file.
    init(
        configuration: NetworkConfiguration, layers: [PlannedLayer], kernels: KernelTable,
        weightType: (PlannedLayer) -> WeightType = { _ in .float32 },
        algorithm: (PlannedLayer, _ images: Int) -> WinogradShape?,
        parameters source: (_ tensor: String) throws(ModelError) -> [Float]
    ) throws(ModelError) {
        self.layers = layers
        self.kernels = kernels
        pixels = PixelTable(configuration.preprocessing, channels: configuration.input.channels)
        plan = ExecutionPlan(
            layers: layers,
            input: FeatureShape(
                channels: configuration.input.channels, height: configuration.input.height,
                width: configuration.input.width),
            kernels: kernels, caches: .current,
            weightType: { kernels.takesHalfWeights ? weightType($0) : .float32 }, algorithm: algorithm)
        featureScales = layers.map { configuration.featureScales[$0.configuration.name] ?? 1 }
        outputCount = Self.outputCount(layers)
        do {
            parameters = try Arena().allocate(count: plan.parameterCount, zeroed: false)
        } catch {
            throw ModelError("No memory for the weights of \(configuration.name). \(error)")
        }
        for (layer, step) in zip(layers, plan.steps) {
            switch step {
            case .direct(let step):
                try pack(layer, step.product, step.parameters, source)
            case .linear(let product, let place):
                try pack(layer, product, place, source)
            case .winograd(let convolution, let place):
                convolution.pack(
                    into: parameters.base + place.weights, bias: parameters.base + place.bias,
                    weights: try source(layer.configuration.name + ".weight"),
                    bias: try source(layer.configuration.name + ".bias"))
            case .maxPool:
                break
            }
        }
    }

    /// Brings one layer's parameters from [out][in][height][width] into the order of its reduction: rows, columns,
    /// then channels. A linear layer's inputs are its map flattened in C, H, W, so they read alike.
    private func pack(
        _ layer: PlannedLayer, _ product: DirectProduct, _ place: ExecutionPlan.Parameters,
        _ source: (_ tensor: String) throws(ModelError) -> [Float]
    ) throws(ModelError) {
        let weights = try source(layer.configuration.name + ".weight")
        let bias = try source(layer.configuration.name + ".bias")
        let channels = layer.input.channels
        let inputs = product.reduction.count
        let window = inputs / channels
        product.pack(
            into: parameters.base + place.weights, bias: parameters.base + place.bias,
            weight: { channel, input in
                weights[channel * inputs + input % channels * window + input / channels]
            },
            bias: { bias[$0] })
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
