/// The kernels of one instruction set, and the shapes they want.
///
/// Every variant is compiled from the same source; `portable` is the readable specification of all of them.
public struct KernelTable: Sendable {
    public var instructionSet: InstructionSet
    /// The most rows of a register tile.
    public var tileRows: Int
    /// The most vectors of 16 output channels in a register tile.
    public var tileVectors: Int
    /// One register tile of a convolution or linear layer.
    public var multiplyTile: @Sendable (TileArguments) -> Void
    /// One max-pooling layer of one image.
    public var maxPool: @Sendable (PoolArguments) -> Void

    public init(
        instructionSet: InstructionSet, tileRows: Int, tileVectors: Int,
        multiplyTile: @escaping @Sendable (TileArguments) -> Void,
        maxPool: @escaping @Sendable (PoolArguments) -> Void
    ) {
        self.instructionSet = instructionSet
        self.tileRows = tileRows
        self.tileVectors = tileVectors
        self.multiplyTile = multiplyTile
        self.maxPool = maxPool
    }

    /// Floats in a vector: channels are padded to a multiple of it in every variant.
    public static let lanes = 16
}
