/// Channels, rows and columns of what flows between two layers.
struct FeatureShape: Sendable, Equatable {
    let channels: Int
    let height: Int
    let width: Int

    /// C · H · W.
    var count: Int { channels * height * width }
}

/// A layer with the shapes that flow in and out of it.
struct PlannedLayer: Sendable {
    let configuration: LayerConfiguration
    /// Rows and columns of the input that one output sees: for a linear layer, the patch's whole map.
    let window: Extent
    let input: FeatureShape
    let output: FeatureShape

    /// Whether this is max-pooling of whole 2×2 blocks, which the layer before can do on its way.
    var halves: Bool {
        guard case .maxPool(let kernel, let stride, let padding, _) = configuration.kind else { return false }
        return kernel == Extent(2, 2) && stride == Extent(2, 2) && padding == Extent(0, 0)
            && output.height == input.height / 2 && output.width == input.width / 2
    }
}

extension PlannedLayer {
    /// Floats of the weights of one layer, and of one map, at most: 4 GiB of either is beyond any network served here,
    /// and products of checked extents stay far from overflow.
    private static let maximumCount = 1 << 30
    /// Pixels of a window: those of the largest patch four times over.
    private static let maximumWindow = 1 << 20

    /// The network's layers with their shapes for one patch.
    ///
    /// - Throws: `ModelError` naming the layer whose map would vanish or whose size has no sense.
    static func sequence(_ configuration: NetworkConfiguration) throws(ModelError) -> [PlannedLayer] {
        var input = FeatureShape(
            channels: configuration.input.channels, height: configuration.input.height,
            width: configuration.input.width)
        guard !configuration.layers.isEmpty else { throw ModelError("config.layers is empty") }
        var layers: [PlannedLayer] = []
        for configuration in configuration.layers {
            let window =
                switch configuration.kind {
                case .convolution(_, let kernel, _, _, _), .maxPool(let kernel, _, _, _): kernel
                case .linear: Extent(input.height, input.width)
                }
            let layer = try PlannedLayer(configuration, window: window, input: input)
            layers.append(layer)
            input = layer.output
        }
        return layers
    }

    /// The same layers over an image of `height` × `width`, at least the patch: a linear layer becomes a valid
    /// convolution whose window is the patch's map.
    ///
    /// - Throws: `ModelError` if the image is smaller than the patch, or too large.
    static func sequence(
        _ layers: [PlannedLayer], height: Int, width: Int
    ) throws(ModelError) -> [PlannedLayer] {
        guard let patch = layers.first?.input else { return [] }
        guard height >= patch.height, width >= patch.width else {
            throw ModelError(
                "An image of \(height) × \(width) is smaller than the network's patch of \(patch.height) × "
                    + "\(patch.width): enlarge it.")
        }
        let (area, areaOverflows) = height.multipliedReportingOverflow(by: width)
        let (count, overflows) = area.multipliedReportingOverflow(by: patch.channels)
        guard !areaOverflows, !overflows, count <= maximumCount else {
            throw ModelError("An image of \(height) × \(width) is too large: cut it into parts.")
        }
        var input = FeatureShape(channels: patch.channels, height: height, width: width)
        var result: [PlannedLayer] = []
        for layer in layers {
            let layer = try PlannedLayer(layer.configuration, window: layer.window, input: input)
            result.append(layer)
            input = layer.output
        }
        return result
    }

    private init(
        _ configuration: LayerConfiguration, window: Extent, input: FeatureShape
    ) throws(ModelError) {
        self.configuration = configuration
        self.window = window
        self.input = input
        func output(
            _ channels: Int, _ stride: Extent, _ padding: Extent, _ rounding: LayerConfiguration.Rounding
        ) -> FeatureShape {
            FeatureShape(
                channels: channels,
                height: Self.windows(input.height, window.height, stride.height, padding.height, rounding),
                width: Self.windows(input.width, window.width, stride.width, padding.width, rounding))
        }
        let weightCount: Int
        switch configuration.kind {
        case .convolution(let outChannels, _, let stride, let padding, _):
            self.output = output(outChannels, stride, padding, .floor)
            weightCount = outChannels * input.channels * window.height * window.width
        case .maxPool(_, let stride, let padding, let rounding):
            self.output = output(input.channels, stride, padding, rounding)
            weightCount = 0
        case .linear(let outFeatures, _):
            self.output = output(outFeatures, Extent(1, 1), Extent(0, 0), .floor)
            weightCount = outFeatures * input.channels * window.height * window.width
        }
        guard self.output.height > 0, self.output.width > 0 else {
            throw ModelError(
                "The layer \(configuration.name) leaves nothing of its input of \(input.height) × \(input.width): "
                    + "make its kernel smaller or its padding larger.")
        }
        // Where its channels are no whole vectors, the plan has an entry for each pixel of a window.
        guard window.height * window.width <= Self.maximumWindow else {
            throw ModelError(
                "The layer \(configuration.name) reads \(window.height) × \(window.width) pixels, more than "
                    + "\(Self.maximumWindow): pool its input first.")
        }
        guard self.output.count <= Self.maximumCount, weightCount <= Self.maximumCount else {
            let what = weightCount > Self.maximumCount ? "weights" : "outputs"
            throw ModelError(
                "The layer \(configuration.name) has more than \(Self.maximumCount) \(what) over an input of "
                    + "\(input.height) × \(input.width): make it smaller, or cut larger images into parts.")
        }
    }

    /// How many windows fit. Pooling with padding of half a kernel or more may start a window in padding alone; such
    /// a window holds no input, and `ceil` drops the last if it starts there.
    private static func windows(
        _ size: Int, _ kernel: Int, _ stride: Int, _ padding: Int, _ rounding: LayerConfiguration.Rounding
    ) -> Int {
        let span = size + 2 * padding - kernel
        guard rounding == .ceil else { return span >= 0 ? span / stride + 1 : 0 }
        // A window that is itself clipped counts where it reaches over the end by less than a stride.
        guard span > -stride else { return 0 }
        let count = (span + stride - 1) / stride + 1
        return (count - 1) * stride >= size + padding ? count - 1 : count
    }
}
