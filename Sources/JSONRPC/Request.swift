public import Transformations

/// A request with its parameters read and checked as to name, type and range.
///
/// Strings of `InputEntries` refer to the line: use the request before the line's bytes change.
public enum Request {
    /// Embeddings of patches or images.
    case embed(EmbedRequest)
    /// Class probabilities of the softmax head.
    case classify(ClassifyRequest)
    /// Transformed patches.
    case transform(TransformRequest)
    /// What a model is; nil is the default model.
    case model(name: String?)
    /// What every model is.
    case models
    /// Whether the server can take work.
    case ready
    /// Whether the server runs.
    case live
    /// Counters and latencies.
    case stats
    /// Opens a connection to a server that asks for a token.
    case auth(token: String)

    /// The methods of the protocol.
    public enum Method: String, Sendable, CaseIterable {
        /// Embeddings of patches or images.
        case embed
        /// Class probabilities of the softmax head.
        case classify
        /// Transformed patches.
        case transform
        /// What a model is.
        case model
        /// What every model is.
        case models
        /// Whether the server can take work.
        case ready
        /// Whether the server runs.
        case live
        /// Counters and latencies.
        case stats
        /// Opens a connection to a server that asks for a token.
        case auth
    }

    /// The method asked for.
    public var method: Method {
        switch self {
        case .embed: .embed
        case .classify: .classify
        case .transform: .transform
        case .model: .model
        case .models: .models
        case .ready: .ready
        case .live: .live
        case .stats: .stats
        case .auth: .auth
        }
    }
}

/// The patches or images of a request, still encoded.
public struct InputEntries {
    /// What an entry holds.
    public enum Kind: Equatable, Sendable {
        /// Raw pixels, row-major H x W x C, of one element type and, where given, one shape.
        case patches(ElementType, shape: Shape?)
        /// A PNG, JPEG or WebP file.
        case images
    }

    /// How a pixel is written.
    public enum ElementType: String, Sendable, CaseIterable {
        /// One byte.
        case u8
        /// A little-endian float32 v in [0, 1] that stands for the pixel 255 v.
        case f32

        /// The bytes of one element.
        public var byteCount: Int { self == .u8 ? 1 : 4 }
    }

    /// The size of every entry.
    public struct Shape: Equatable, Sendable {
        /// Rows, 1 ... 65,536.
        public var height: Int
        /// Columns, 1 ... 65,536.
        public var width: Int
        /// Channels, 1 ... 65,536.
        public var channels: Int

        /// A size.
        public init(height: Int, width: Int, channels: Int) {
            self.height = height
            self.width = width
            self.channels = channels
        }
    }

    /// What an entry holds.
    public var kind: Kind
    /// The base64 of each entry, at least one.
    public var entries: [EncodedString]
}

/// Parameters of `embed`.
public struct EmbedRequest {
    /// Which layers are asked for.
    public enum Layers: Equatable, Sendable {
        /// The model's embedding layer.
        case embedding
        /// Every convolution and linear layer except the head.
        case all
        /// These, at least one, perhaps with repeats.
        case named([String])
    }

    /// How a map becomes a vector.
    public enum Pool: String, Sendable, CaseIterable {
        /// Flattened as it is.
        case none
        /// The maximum over each quadrant.
        case quadrant
        /// The maximum over the map.
        case max
        /// The mean over the map.
        case mean
    }

    /// What is done to the finished vector.
    public enum Normalization: String, Sendable, CaseIterable {
        /// Nothing.
        case none
        /// Division by its Euclidean length, where that is not zero.
        case l2
    }

    /// How the vectors come back.
    public enum Encoding: String, Sendable, CaseIterable {
        /// Base64 of little-endian float32.
        case base64
        /// JSON numbers.
        case float
    }

    /// The patches or images.
    public var inputs: InputEntries
    /// The model, or nil for the default.
    public var model: String?
    /// The layers.
    public var layers: Layers
    /// The pooling.
    public var pool: Pool
    /// The transformations to average over, or nil for the plain embedding.
    public var transform: TransformOptions?
    /// The normalization.
    public var normalize: Normalization
    /// The encoding of the reply.
    public var encoding: Encoding
    /// How long from its arrival the request is worth answering, or nil for ever.
    public var deadline: Duration?
}

/// Parameters of `classify`.
public struct ClassifyRequest {
    /// The patches or images.
    public var inputs: InputEntries
    /// The model, or nil for the default.
    public var model: String?
    /// The transformations to average over, or nil for none.
    public var transform: TransformOptions?
    /// How many classes to return, 1 or more.
    public var top: Int
    /// How long from its arrival the request is worth answering, or nil for ever.
    public var deadline: Duration?
}

/// Parameters of the method `transform`.
public struct TransformRequest {
    /// The patches.
    public var inputs: InputEntries
    /// The model, or nil for the default.
    public var model: String?
    /// The transformations to show.
    public var transform: TransformOptions
    /// How long from its arrival the request is worth answering, or nil for ever.
    public var deadline: Duration?
}

/// The parameter `transform`: which transformations to apply to each patch.
public struct TransformOptions: Equatable, Sendable {
    /// Where the transformation parameters come from. Seeds are 0 ... 2^53 - 1; where nil the server draws one.
    public enum Mode: Equatable, Sendable {
        /// The draw number `index` of `seed`.
        case sample(seed: Int?, index: Int)
        /// The draws 0 ..< `samples` of `seed`, fewer once the relative standard error is at most `tolerance`.
        case mean(samples: Int, seed: Int?, tolerance: Double?)
        /// These, at least one; every number in them is finite.
        case parameters([Transformation])
    }

    /// Where the transformation parameters come from.
    public var mode: Mode
    /// Which steps of a drawn transformation are applied; nil for all that the model has.
    public var steps: TransformationSteps?
    /// What lies beyond the edge of an input.
    public var border: TransformationBorder
    /// Whether the reply holds the standard error of each dimension.
    public var wantsStandardErrors: Bool

    /// Options.
    public init(
        mode: Mode, steps: TransformationSteps? = nil, border: TransformationBorder = .reflect,
        wantsStandardErrors: Bool = false
    ) {
        self.mode = mode
        self.steps = steps
        self.border = border
        self.wantsStandardErrors = wantsStandardErrors
    }
}
