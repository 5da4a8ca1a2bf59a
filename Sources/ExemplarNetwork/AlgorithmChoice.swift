import KernelInterface

/// Which algorithm a convolution runs by: the cheapest by an estimate of its work for one image.
///
/// Work is counted in vector instructions, 16 multiply-adds each. Reading weights from beyond the second-level cache
/// counts too, shared among the images that run together. The estimate needs to order algorithms whose costs lie far
/// apart, not to predict times. It knows neither the batch nor the threads, so a patch's bits cannot depend on them.
enum AlgorithmChoice {
    /// The Winograd shape to use; nil for direct convolution.
    static func winograd(
        _ layer: PlannedLayer, accuracy: Accuracy, images: Int
    ) -> WinogradShape? {
        guard case .convolution(_, let kernel, let stride, _, _) = layer.configuration.kind,
            stride == Extent(1, 1), kernel.height == kernel.width, accuracy != .exact
        else { return nil }
        let direct = directCost(layer, window: kernel.height * kernel.width)
        let best = WinogradShape.allCases
            .filter { $0.kernel == kernel.height && ($0.outputs <= 4 || accuracy == .fast) }
            .map { (shape: $0, cost: cost(layer, $0, images: images)) }
            .min { $0.cost < $1.cost }
        guard let best, best.cost < direct else { return nil }
        return best.shape
    }

    static func directCost(_ layer: PlannedLayer, window: Int) -> Double {
        let output = layer.output
        return Double(output.height * output.width * window * layer.input.channels) * vectors(output.channels)
    }

    static func cost(_ layer: PlannedLayer, _ shape: WinogradShape, images: Int) -> Double {
        let (m, t, n) = (Double(shape.outputs), Double(shape.inputs), Double(shape.pairs))
        let output = layer.output
        func tiles(_ extent: Int) -> Double { Double((extent + shape.outputs - 1) / shape.outputs) }
        let tiles = tiles(output.height) * tiles(output.width)
        let inVectors = vectors(layer.input.channels)
        let outVectors = vectors(output.channels)
        let channels = Double(layer.input.channels)

        let products = tiles * t * t * channels * outVectors
        // A column of the input transform takes 2n(n + 1) instructions, one of the output transform (m + 2) n; every
        // element is read and written twice.
        let inputTransform = tiles * inVectors * 2 * t * (2 * n * (n + 1) + 2 * t)
        let outputTransform = tiles * outVectors * ((t + m) * (m + 2) * n + 2 * t * (t + m))
        // A vector of weights from the third-level cache costs about four multiply-adds.
        let weights = t * t * channels * outVectors * 4 / Double(images)
        return products + inputTransform + outputTransform + weights
    }

    private static func vectors(_ channels: Int) -> Double {
        Double(MapLayout.padded(channels) / KernelTable.lanes)
    }
}
