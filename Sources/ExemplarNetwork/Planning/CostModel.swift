import KernelInterface

/// An estimate of the work of a layer for one image, in vector instructions of 16 multiply-adds each.
///
/// It needs to order algorithms whose costs lie far apart, not to predict times. It knows neither the batch nor the
/// threads, so a patch's bits cannot depend on them.
struct CostModel: Sendable {
    /// Images among which one reading of a layer's weights is shared.
    let images: Int
    /// Multiply-adds in whose time a vector of 16 float32 weights arrives.
    let weightCost: Double

    /// A core's share of the third-level cache gives a line in the time of about four multiply-adds of 16.
    static let nearWeightCost = 4.0

    /// Of the eight or ten patches of a busy server's batch four or five run together, since groups are evened out.
    /// With more, single patches and such batches would pay for large batches' choices: the third convolution of the
    /// paper's medium network is F(8×8, 5×5, i) from six images on, which is faster by 8 % in batches of 64 and slower
    /// by a third alone.
    private static let usualGroup = 4

    /// - Parameter images: that run together in a full batch.
    init(_ optimization: Optimization, images: Int) {
        switch optimization {
        case .throughput:
            self.images = min(images, Self.usualGroup)
            weightCost = Self.nearWeightCost
        case .latency:
            // One patch at a time reads every weight for itself, and from memory: the others have passed since.
            self.images = 1
            weightCost = 12
        }
    }

    /// A convolution's or a linear layer's products as they are written, and its weights.
    func direct(_ layer: PlannedLayer, _ type: WeightType) -> Double {
        let weights = Double(layer.weightVectors)
        return Double(layer.output.height * layer.output.width) * weights
            + weights * weightCost * Double(type.byteCount) / Double(images * WeightType.float32.byteCount)
    }

    /// The products of a Winograd convolution, its transforms and its weights.
    func winograd(_ layer: PlannedLayer, _ shape: WinogradShape) -> Double {
        let p = Double(shape.products)
        let tiles = Double(layer.tiles(shape))
        let inVectors = Double(MapLayout.vectors(layer.input.channels))
        let outVectors = Double(MapLayout.vectors(layer.output.channels))
        let weights = p * p * Double(layer.input.channels) * outVectors

        let inputTransform = tiles * inVectors * shape.inputTransformCost
        let outputTransform = tiles * outVectors * shape.outputTransformCost
        return tiles * weights + inputTransform + outputTransform + weights * weightCost / Double(images)
    }

    /// A pooling layer by itself: one comparison for each input of each window.
    func maxPool(_ layer: PlannedLayer) -> Double {
        Double(
            layer.output.height * layer.output.width * layer.window.height * layer.window.width
                * MapLayout.vectors(layer.output.channels))
    }
}

/// Vector instructions of one tile's transforms, for 16 channels: every element is read and written twice.
extension WinogradShape {
    /// A column takes 2n(n + 1).
    var inputTransformCost: Double {
        let (t, p, n) = (Double(inputs), Double(products), Double(pairs))
        return (t + p) * (2 * n * (n + 1) + t + p)
    }

    /// A column takes (m + 2) n.
    var outputTransformCost: Double {
        let (m, p, n) = (Double(outputs), Double(products), Double(pairs))
        return (p + m) * (m + 2) * n + 2 * p * (p + m)
    }
}

extension PlannedLayer {
    /// Vectors of 16 weights of a convolution or linear layer, output channels padded.
    var weightVectors: Int {
        window.height * window.width * input.channels * MapLayout.vectors(output.channels)
    }

    /// Tiles of one image's map.
    func tiles(_ shape: WinogradShape) -> Int {
        let m = shape.outputs
        return ((output.height + m - 1) / m) * ((output.width + m - 1) / m)
    }
}
