public import KernelInterface

/// How a model is loaded.
public struct ModelOptions: Sendable {
    /// The instruction set to use; nil picks the widest that this CPU has.
    public var instructionSet: InstructionSet?
    /// Which convolution algorithms may be used.
    public var accuracy: Accuracy

    public init(instructionSet: InstructionSet? = nil, accuracy: Accuracy = .standard) {
        self.instructionSet = instructionSet
        self.accuracy = accuracy
    }
}

/// How much rounding error an algorithm may add for speed. Arithmetic is float32 in each.
public enum Accuracy: String, CaseIterable, Sendable {
    case exact
    case standard
    case fast
}

/// Everything that a client may know of a loaded model.
public struct ModelDescription: Sendable, Equatable {
    public var name: String
    /// Of `model.safetensors`, in lower-case hexadecimal.
    public var sha256: String
    public var embedding: String
    /// Values in one embedding.
    public var dimension: Int
    public var patchShape: NetworkConfiguration.PatchShape
    public var layers: [Layer]
    /// Rows of the head, nil without one.
    public var exemplars: Int?
    public var instructionSet: InstructionSet
    public var accuracy: Accuracy
    /// "passed" or "none".
    public var selfTest: String

    public struct Layer: Sendable, Equatable {
        public var name: String
        public var type: String
        /// [C, H, W] of a map, [features] of a linear layer, for one patch.
        public var shape: [Int]

        public init(name: String, type: String, shape: [Int]) {
            self.name = name
            self.type = type
            self.shape = shape
        }
    }

    public init(
        name: String, sha256: String, embedding: String, dimension: Int,
        patchShape: NetworkConfiguration.PatchShape, layers: [Layer], exemplars: Int?,
        instructionSet: InstructionSet, accuracy: Accuracy, selfTest: String
    ) {
        self.name = name
        self.sha256 = sha256
        self.embedding = embedding
        self.dimension = dimension
        self.patchShape = patchShape
        self.layers = layers
        self.exemplars = exemplars
        self.instructionSet = instructionSet
        self.accuracy = accuracy
        self.selfTest = selfTest
    }
}

/// What a model could not be loaded for: one sentence that names the file, the key or the tensor and says what to do.
public struct ModelError: Error, Sendable, CustomStringConvertible {
    public var description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// A loaded network: its configuration, packed weights and plan; immutable, shared by every thread.
public final class Model: Sendable {
    public let configuration: NetworkConfiguration
    public let description: ModelDescription

    /// Reads `folder`, validates it, packs the weights and reproduces the golden vectors, if there are any.
    public static func load(folder: String, options: ModelOptions = ModelOptions()) throws(ModelError) -> Model {
        throw ModelError("\(folder): not implemented yet")
    }

    init(configuration: NetworkConfiguration, description: ModelDescription) {
        self.configuration = configuration
        self.description = description
    }

    /// The embedding layer alone: g(x).
    public var embeddingOnly: LayerSelection { LayerSelection(indices: []) }

    /// Every convolution and linear layer except the head.
    public var allLayers: LayerSelection { LayerSelection(indices: []) }

    /// The layers named, in the network's order, repeats counted once; nil where a name is unknown or a pooling layer.
    public func selection(of names: [String]) -> LayerSelection? { nil }

    /// The names of a selection's layers, in the network's order.
    public func names(of selection: LayerSelection) -> [String] { [] }

    /// Values in one row of an embedding of this selection: maps flattened in C, H, W order, layers concatenated.
    public func dimension(of selection: LayerSelection) -> Int { 0 }

    /// An embedder for one thread, with memory planned for at most `maximumBatch` patches at a time.
    public func makeEmbedder(maximumBatch: Int) throws(ModelError) -> Embedder {
        throw ModelError("not implemented yet")
    }
}

/// Which layers' outputs a request wants; made by a model, valid for that model.
public struct LayerSelection: Sendable, Hashable {
    /// Of the layers in the network's order, ascending, each once.
    let indices: [Int]
}

/// The pixels of one patch, H × W × C row-major, as they were sent. Any alignment.
public struct PatchPixels {
    public enum Format: Sendable {
        /// 0 … 255.
        case uint8
        /// Little-endian; v stands for the pixel 255·v. In [0, 1]: the caller has checked.
        case float32
    }

    public var address: UnsafeRawPointer
    public var format: Format

    public init(address: UnsafeRawPointer, format: Format) {
        self.address = address
        self.format = format
    }
}

/// The forward pass of one thread: a model's plan with the memory to run it in. Use from one thread at a time.
///
/// A warm call allocates nothing.
public final class Embedder {
    /// The most patches in one call.
    public let maximumBatch: Int

    init(maximumBatch: Int) {
        self.maximumBatch = maximumBatch
    }

    /// Runs the network over `patches` (1 … `maximumBatch` of them), as far as the last layer of `selection`.
    ///
    /// - Returns: one row a patch, valid until the next call.
    public func embed(_ patches: UnsafeBufferPointer<PatchPixels>, _ selection: LayerSelection) -> EmbeddingBatch {
        EmbeddingBatch(rows: 0, dimension: 0, rowStride: 0, base: nil)
    }
}

/// [rows, dimension] float32 in the embedder's arena, valid until its next call.
public struct EmbeddingBatch {
    public let rows: Int
    public let dimension: Int
    let rowStride: Int
    let base: UnsafePointer<Float>?

    /// Row `row`: the values of one patch.
    public subscript(row: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(start: base.map { $0 + row * rowStride }, count: dimension)
    }
}
