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
        /// These, at least one.
        case parameters([ExplicitTransformation])
    }

    /// What lies beyond the edge of an input.
    public enum Border: String, Sendable, CaseIterable {
        /// The image mirrored, its edge pixel not repeated.
        case reflect
        /// The edge pixel.
        case replicate
        /// Zero.
        case zero
    }

    /// Parts of a transformation.
    public struct Steps: OptionSet, Hashable, Sendable {
        /// One bit for each part.
        public let rawValue: UInt8

        /// The parts whose bits are set.
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The names on the wire, in the order of their bits.
        static let names = ["translation", "scale", "rotation", "contrast", "color", "hue"]

        /// Shifting the window.
        public static let translation = Steps(rawValue: 1)
        /// Scaling the window.
        public static let scale = Steps(rawValue: 2)
        /// Turning the window.
        public static let rotation = Steps(rawValue: 4)
        /// Contrast along the principal components.
        public static let contrast = Steps(rawValue: 8)
        /// Powers, factors and offsets of saturation and value.
        public static let color = Steps(rawValue: 16)
        /// Shifting the hue.
        public static let hue = Steps(rawValue: 32)
        /// Every part.
        public static let all = Steps(rawValue: 63)
    }

    /// Where the transformation parameters come from.
    public var mode: Mode
    /// Which parts of a drawn transformation are applied.
    public var steps: Steps?
    /// What lies beyond the edge of an input.
    public var border: Border
    /// Whether the reply holds the standard error of each dimension.
    public var wantsStandardErrors: Bool

    /// Options.
    public init(mode: Mode, steps: Steps? = nil, border: Border = .reflect, wantsStandardErrors: Bool = false) {
        self.mode = mode
        self.steps = steps
        self.border = border
        self.wantsStandardErrors = wantsStandardErrors
    }
}

/// Transformation parameters given by the client in place of drawn ones; every number is finite.
public struct ExplicitTransformation: Equatable, Sendable {
    /// A number each for saturation and value.
    public struct SaturationValue: Equatable, Sendable {
        /// For the saturation.
        public var saturation: Double
        /// For the value.
        public var value: Double
    }

    /// The shift along a row.
    public var translationX: Double
    /// The shift along a column.
    public var translationY: Double
    /// The factor of the window's size, above 0.
    public var scale: Double
    /// The angle in degrees.
    public var rotationDegrees: Double
    /// The factors of the three principal components.
    public var contrast: [Double]
    /// Powers of saturation and value.
    public var power: SaturationValue
    /// Factors of saturation and value.
    public var factor: SaturationValue
    /// Offsets of saturation and value.
    public var offset: SaturationValue
    /// The shift of the hue.
    public var hue: Double
}
