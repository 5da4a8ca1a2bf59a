import KernelInterface

/// Which algorithm a convolution runs by: the cheapest by the cost model of those that its accuracy allows.
enum AlgorithmChoice {
    /// The Winograd shape to use; nil for direct convolution.
    static func winograd(_ layer: PlannedLayer, accuracy: Accuracy, costs: CostModel) -> WinogradShape? {
        guard case .convolution(_, let kernel, let stride, _, _) = layer.configuration.kind,
            stride == Extent(1, 1), kernel.height == kernel.width, accuracy != .exact
        else { return nil }
        let best = WinogradShape.allCases
            .filter { $0.kernel == kernel.height && ($0 != .f8k5 || accuracy == .fast) }
            .filter { $0.fitsFewChannels || !WinogradConvolution.hasFewChannels(layer.input) }
            .map { (shape: $0, cost: costs.winograd(layer, $0)) }
            .min { $0.cost < $1.cost }
        guard let best, best.cost < costs.direct(layer, .float32) else { return nil }
        return best.shape
    }
}
