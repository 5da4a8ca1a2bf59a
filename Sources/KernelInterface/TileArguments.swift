/// A run of consecutive inputs that one register tile reduces over.
///
/// A convolution window is a list of segments: where channels lie next to each other and nothing separates two
/// columns, a whole kernel row is one segment; a linear layer is one segment cut to the cache's size.
public struct Segment: Sendable, Equatable {
    /// In elements, from the input address of a tile's row.
    public var offset: Int
    /// In elements.
    public var length: Int

    @inlinable
    public init(offset: Int, length: Int) {
        self.offset = offset
        self.length = length
    }
}

/// One register tile of a matrix product whose left side is gathered by segments.
///
/// For row r < `rows`, vector v < `vectors` and lane l < 16, with k counting through the segments in order:
///
///     output[r · outputStep + 16 v + l] = activation(start + Σ_k input[r · inputStep + position(k)] · weights[16 (k · vectors + v) + l])
///
/// where `start` is bias[16 v + l] if there is a bias, else what `output` holds: long sums are cut into blocks that
/// fit the cache, and pass through `output` unrounded. The sum runs over k in rising order whatever the shape of the
/// tile, so a result does not depend on how rows were grouped. `weights` is read in whole vectors and 64-byte aligned;
/// nothing is read beyond the segments.
public struct TileArguments {
    public var input: UnsafePointer<Float>
    /// Elements from one row's input to the next.
    public var inputStep: Int
    public var segments: UnsafePointer<Segment>
    public var segmentCount: Int
    /// [Σ length][vectors][16].
    public var weights: UnsafePointer<Float>
    /// [vectors][16], or nil to go on from `output`.
    public var bias: UnsafePointer<Float>?
    public var output: UnsafeMutablePointer<Float>
    /// Elements from one row's output to the next.
    public var outputStep: Int
    /// 1 … `KernelTable.tileRows`.
    public var rows: Int
    /// 1 … `KernelTable.tileVectors`, in vectors of 16.
    public var vectors: Int
    /// Whether negative results become zero, in the last block of a sum.
    public var rectifies: Bool

    @inlinable
    public init(
        input: UnsafePointer<Float>, inputStep: Int, segments: UnsafePointer<Segment>, segmentCount: Int,
        weights: UnsafePointer<Float>, bias: UnsafePointer<Float>?, output: UnsafeMutablePointer<Float>,
        outputStep: Int, rows: Int, vectors: Int, rectifies: Bool
    ) {
        self.input = input
        self.inputStep = inputStep
        self.segments = segments
        self.segmentCount = segmentCount
        self.weights = weights
        self.bias = bias
        self.output = output
        self.outputStep = outputStep
        self.rows = rows
        self.vectors = vectors
        self.rectifies = rectifies
    }
}
