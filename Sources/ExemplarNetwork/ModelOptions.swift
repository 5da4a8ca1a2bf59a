public import KernelInterface

/// How a model is loaded.
public struct ModelOptions: Sendable {
    /// The instruction set to use; nil picks the widest that this CPU has.
    public var instructionSet: InstructionSet?
    /// Which convolution algorithms may be used.
    public var accuracy: Accuracy
    /// What the planner weighs its choices for.
    public var optimize: Optimization

    public init(
        instructionSet: InstructionSet? = nil, accuracy: Accuracy = .standard, optimize: Optimization = .throughput
    ) {
        self.instructionSet = instructionSet
        self.accuracy = accuracy
        self.optimize = optimize
    }
}

/// What a plan is made for. It tilts the choice of algorithms at load and nothing else: a loaded model gives the same
/// bits to a patch alone and in a batch.
public enum Optimization: String, CaseIterable, Sendable {
    /// Batches: many patches share each reading of the weights.
    case throughput
    /// One patch at a time, for which every weight comes from memory.
    case latency
}

/// How much rounding error an algorithm may add for speed. Arithmetic is float32 in each.
public enum Accuracy: String, CaseIterable, Sendable {
    case exact
    case standard
    case fast
}
