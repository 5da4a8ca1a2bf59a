/// Which layers' outputs a request wants, and in which form; made by a model, valid for that model.
public struct LayerSelection: Sendable, Hashable {
    /// Of the layers in the network's order, ascending, each once.
    let indices: [Int]
    /// What becomes of each layer's map.
    public var pooling: Pooling

    init(indices: [Int], pooling: Pooling = .none) {
        self.indices = indices
        self.pooling = pooling
    }
}

/// How a map of C channels becomes the values of a row. Layers are concatenated in the network's order.
public enum Pooling: String, CaseIterable, Sendable {
    /// The whole map, flattened in C, H, W order.
    case none
    /// The maximum of each quadrant, flattened as [C, 2, 2] and multiplied by the layer's feature scale: the features
    /// of Dosovitskiy et al. 2014, section 4.1. Quadrant (a, b) has the rows ⌊aH/2⌋ … ⌈(a+1)H/2⌉ − 1, and columns
    /// alike: quadrants of an odd side share its middle, and a 1×1 map gives its value four times.
    case quadrant
    /// The maximum of each channel.
    case max
    /// The mean of each channel.
    case mean

    /// Values of a map of this shape.
    func count(of shape: FeatureShape) -> Int {
        switch self {
        case .none: shape.count
        case .quadrant: 4 * shape.channels
        case .max, .mean: shape.channels
        }
    }
}
