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
