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

/// How much rounding error an algorithm may add for speed. Arithmetic is float32 in each. Errors are relative RMS:
/// those measured are of the shipped models' embeddings on their golden vectors (docs/planner.md).
public enum Accuracy: String, CaseIterable, Sendable {
    /// Direct convolution alone. The self-test refuses an error of more than 2e-5.
    case exact
    /// Winograd's algorithm where its error is a few roundings of float32: 2.1e-6 and 3.3e-6. The self-test refuses one
    /// of more than 2e-5.
    case standard
    /// Also with tiles over real points alone that lose five or six bits more: 9.1e-5 and 1.3e-4. The self-test refuses
    /// an error of more than 2e-3.
    case fast
}
