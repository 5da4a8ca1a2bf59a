/// Channels, rows and columns of what flows between two layers.
struct FeatureShape: Sendable, Equatable {
    let channels: Int
    let height: Int
    let width: Int

    /// C · H · W.
    var count: Int { channels * height * width }
}

extension PlannedLayer {
    /// Floats of the weights of one layer, and of one map, at most: 4 GiB of either is beyond any network served here,
    /// and products of checked extents stay far from overflow.
    private static let maximumCount = 1 << 30

    /// The network's layers with their shapes.
    ///
    /// - Throws: `ModelError` naming the layer whose map would vanish or whose size has no sense.
    static func sequence(_ configuration: NetworkConfiguration) throws(ModelError) -> [PlannedLayer] {
        var input = FeatureShape(
            channels: configuration.input.channels, height: configuration.input.height,
            width: configuration.input.width)
        guard !configuration.layers.isEmpty else { throw ModelError("config.layers is empty") }
        var layers: [PlannedLayer] = []
        for layer in configuration.layers {
            let output: FeatureShape
            let window: Int
            switch layer.kind {
            case .convolution(let outChannels, let kernel, let stride, let padding, _):
                output = FeatureShape(
                    channels: outChannels,
                    height: windows(input.height, kernel.height, stride.height, padding.height, .floor),
                    width: windows(input.width, kernel.width, stride.width, padding.width, .floor))
                window = input.channels * kernel.height * kernel.width
            case .maxPool(let kernel, let stride, let padding, let rounding):
                output = FeatureShape(
                    channels: input.channels,
                    height: windows(input.height, kernel.height, stride.height, padding.height, rounding),
                    width: windows(input.width, kernel.width, stride.width, padding.width, rounding))
                window = 0
            case .linear(let outFeatures, _):
                output = FeatureShape(channels: outFeatures, height: 1, width: 1)
                window = input.count
            }
            guard output.height > 0, output.width > 0 else {
                throw ModelError(
                    "The layer \(layer.name) leaves nothing of its input of \(input.height) × \(input.width): "
                        + "make its kernel smaller or its padding larger.")
            }
            guard output.count <= maximumCount, output.channels * window <= maximumCount else {
                throw ModelError("The layer \(layer.name) has more than \(maximumCount) weights or outputs.")
            }
            layers.append(PlannedLayer(configuration: layer, input: input, output: output))
            input = output
        }
        return layers
    }

    /// How many windows fit. Pooling with padding of half a kernel or more may start a window in padding alone; such
    /// a window holds no input, and `ceil` drops the last if it starts there.
    private static func windows(
        _ size: Int, _ kernel: Int, _ stride: Int, _ padding: Int, _ rounding: LayerConfiguration.Rounding
    ) -> Int {
        let span = size + 2 * padding - kernel
        guard span >= 0 else { return 0 }
        guard rounding == .ceil else { return span / stride + 1 }
        let count = (span + stride - 1) / stride + 1
        return (count - 1) * stride >= size + padding ? count - 1 : count
    }
}
