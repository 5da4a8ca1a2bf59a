public import Transformations

/// What a network is: the contents of a model folder's `config.json`, validated.
///
/// The network is a sequence of layers. A pixel p (0 … 255) enters as (p · scale − mean) / std of its channel; zero
/// padding is applied after that, in the network's own units.
public struct NetworkConfiguration: Sendable, Equatable {
    /// The name under which the model is served.
    public var name: String
    /// The patch that the network was made for.
    public var input: PatchShape
    /// From pixels to the network's units.
    public var preprocessing: Preprocessing
    /// In order from the input to the output, the head (if any) last.
    public var layers: [LayerConfiguration]
    /// The layer whose output is g(x).
    public var embedding: String
    /// The linear layer over exemplars, where the file has one; it reads the embedding layer.
    public var head: String?
    /// One factor a layer for features pooled by quadrant; a layer that is not named counts as 1.
    public var featureScales: [String: Float]
    /// The ranges from which α is drawn, where the file has them.
    public var transformations: TransformationRanges?

    /// A patch's shape: rows, columns, channels; pixels are stored row-major H × W × C.
    public struct PatchShape: Sendable, Equatable {
        /// Rows; of a patch 8 … 512.
        public var height: Int
        /// Columns; of a patch 8 … 512.
        public var width: Int
        /// Values of a pixel, 1 … 16: 1 of grey, 3 of RGB.
        public var channels: Int
        /// Rows, and columns, that a network may have.
        package static let sides = 8...512
        /// Channels that a network may have.
        package static let channelCounts = 1...16
        /// H · W · C.
        public var count: Int { height * width * channels }

        public init(height: Int, width: Int, channels: Int) {
            self.height = height
            self.width = width
            self.channels = channels
        }
    }

    /// (p · scale − mean) / std, channel by channel.
    public struct Preprocessing: Sendable, Equatable {
        public var scale: Double
        public var mean: [Double]
        public var std: [Double]

        public init(scale: Double, mean: [Double], std: [Double]) {
            self.scale = scale
            self.mean = mean
            self.std = std
        }
    }

    public init(
        name: String, input: PatchShape, preprocessing: Preprocessing, layers: [LayerConfiguration],
        embedding: String, head: String? = nil, featureScales: [String: Float] = [:],
        transformations: TransformationRanges? = nil
    ) {
        self.name = name
        self.input = input
        self.preprocessing = preprocessing
        self.layers = layers
        self.embedding = embedding
        self.head = head
        self.featureScales = featureScales
        self.transformations = transformations
    }
}

/// One value for rows and one for columns.
public struct Extent: Sendable, Equatable {
    public var height: Int
    public var width: Int

    public init(_ height: Int, _ width: Int) {
        self.height = height
        self.width = width
    }
}

/// One layer of a network.
public struct LayerConfiguration: Sendable, Equatable {
    /// Unique in the network; `<name>.weight` and `<name>.bias` are its tensors.
    public var name: String
    public var kind: Kind

    public enum Kind: Sendable, Equatable {
        case convolution(outChannels: Int, kernel: Extent, stride: Extent, padding: Extent, activation: Activation)
        case maxPool(kernel: Extent, stride: Extent, padding: Extent, rounding: Rounding)
        /// Over the flattened C, H, W of what comes in: a valid convolution over the whole map.
        case linear(outFeatures: Int, activation: Activation)
    }

    /// What becomes of a sum x.
    public enum Activation: String, CaseIterable, Sendable {
        /// x.
        case none
        /// max(0, x).
        case relu
    }

    /// How a pooling layer counts its windows. `ceil` clips the last windows at the border (Caffe, PyTorch's
    /// `ceil_mode`) and drops one that would start at or beyond the input plus left padding.
    public enum Rounding: String, CaseIterable, Sendable {
        case floor
        case ceil
    }

    public init(name: String, kind: Kind) {
        self.name = name
        self.kind = kind
    }

    /// The word for this layer in `config.json` and on the wire.
    public var type: String {
        switch kind {
        case .convolution: "convolution"
        case .maxPool: "max_pool"
        case .linear: "linear"
        }
    }
}
