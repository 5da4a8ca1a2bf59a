/// The kernels of one instruction set, and the shapes they want.
///
/// Every variant is compiled from the same source; `portable` is the readable specification of all of them.
public struct KernelTable: Sendable {
    public var instructionSet: InstructionSet
    /// The most rows of a register tile.
    public var tileRows: Int
    /// The most vectors of 16 output channels in a register tile.
    public var tileVectors: Int
    /// Panels that `multiplyPanel` takes at once where there is one row.
    public var rowPanels: Int
    /// Whether `multiplyPanel` takes 16-bit weights: where a vector of them becomes float32 in one instruction or two.
    public var takesHalfWeights: Bool
    /// One panel of output channels of a convolution or linear layer.
    public var multiplyPanel: @Sendable (PanelArguments) -> Void
    /// Winograd tiles, in and out.
    public var transformInput: @Sendable (InputTransformArguments) -> Void
    public var transformNarrowInput: @Sendable (InputTransformArguments) -> Void
    public var transformOutput: @Sendable (OutputTransformArguments) -> Void
    /// One max-pooling layer of one image.
    public var maxPool: @Sendable (PoolArguments) -> Void
    /// The mean of one map.
    public var meanPool: @Sendable (MeanArguments) -> Void
    /// One transformed patch.
    public var transformPatch: @Sendable (TransformationArguments) -> Void

    public init(
        instructionSet: InstructionSet, tileRows: Int, tileVectors: Int, rowPanels: Int,
        takesHalfWeights: Bool,
        multiplyPanel: @escaping @Sendable (PanelArguments) -> Void,
        transformInput: @escaping @Sendable (InputTransformArguments) -> Void,
        transformNarrowInput: @escaping @Sendable (InputTransformArguments) -> Void,
        transformOutput: @escaping @Sendable (OutputTransformArguments) -> Void,
        maxPool: @escaping @Sendable (PoolArguments) -> Void,
        meanPool: @escaping @Sendable (MeanArguments) -> Void,
        transformPatch: @escaping @Sendable (TransformationArguments) -> Void
    ) {
        self.instructionSet = instructionSet
        self.tileRows = tileRows
        self.tileVectors = tileVectors
        self.rowPanels = rowPanels
        self.takesHalfWeights = takesHalfWeights
        self.multiplyPanel = multiplyPanel
        self.transformInput = transformInput
        self.transformNarrowInput = transformNarrowInput
        self.transformOutput = transformOutput
        self.maxPool = maxPool
        self.meanPool = meanPool
        self.transformPatch = transformPatch
    }

    /// Floats in a vector: channels are padded to a multiple of it in every variant.
    public static let lanes = 16
}
