public import KernelInterface

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
    /// The largest error of a layer against the golden vectors, which were computed in float64: RMS of the difference
    /// over RMS of the reference. Nil without golden vectors.
    public var selfTestError: Double?
    /// What `model.safetensors` says of itself in its `__metadata__`, as far as it is short enough to be shown.
    public var metadata: [String: String]

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
        instructionSet: InstructionSet, accuracy: Accuracy, selfTest: String, selfTestError: Double? = nil,
        metadata: [String: String] = [:]
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
        self.selfTestError = selfTestError
        self.metadata = metadata
    }
}
