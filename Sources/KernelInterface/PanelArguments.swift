/// A run of consecutive inputs that a matrix product reduces over.
///
/// A convolution window is a list of segments, and so is the map that a linear layer sees: where channels lie next to
/// each other and nothing separates two columns, a whole kernel row is one segment, elsewhere a pixel is one. What has
/// more than 16 KiB of a register tile's weights is cut into equal pieces, whatever the caches.
public struct Segment: Sendable, Equatable {
    /// In elements, from the input address of a row.
    public var offset: Int
    /// In elements.
    public var length: Int
    /// Whether a partial sum ends with this segment.
    public var endsSum: Bool

    @inlinable
    public init(offset: Int, length: Int, endsSum: Bool) {
        self.offset = offset
        self.length = length
        self.endsSum = endsSum
    }
}

/// How weights lie in memory. Products and sums are float32 whatever it is.
public enum WeightType: Sendable, Equatable {
    case float32
    /// IEEE 754 binary16.
    case float16
    /// The upper half of a float32.
    case bfloat16

    /// Bytes of one weight.
    public var byteCount: Int { self == .float32 ? 4 : 2 }
}

/// Matrix products of one panel of output channels, whose left sides are gathered by segments.
///
/// For tuple f < `tuples`, row r < `rows`, vector v < `vectors` and lane l < 16, with k counting through the segments
/// in order:
///
///     output[f · outputTupleStep + r · outputStep + 16 v + l] = activation(start + Σ_k
///         input[f · inputTupleStep + r · inputStep + position(k)]
///         · weights[f · weightTupleStep + 16 (k · vectors + v) + l])
///
/// where `start` is bias[16 v + l] if there is a bias, else what `output` holds: a sum may be cut into blocks that fit
/// the cache. A direct convolution is one tuple; a Winograd convolution has one for each element of a transformed tile
/// ("tuple multiplication", after NNPACK).
///
/// The sum over k is made of partial sums, each over k in rising order up to a segment that ends it: the first goes on
/// from the bias, if there is one, and the others begin at zero and are added to what there is, one after the other.
/// The rounding error of n terms grows with √n within a partial sum, and again among them, instead of over all (Higham
/// 1993). That order is the same whatever the register tile, so a result does not depend on how many rows stand beside
/// it. The last segment ends a sum.
///
/// Rows are taken in register tiles of nearly equal height. One row may be multiplied by several panels at once, p <
/// `panels`, with weights p · `weightPanelStep` further on, and bias and outputs right behind the panel before: alone
/// it would wait for its own additions. `weights` is read in whole vectors, from an address that is a multiple of one
/// vector's bytes; nothing is read beyond the segments.
public struct PanelArguments {
    public var input: UnsafePointer<Float>
    /// Elements from one row's input to the next.
    public var inputStep: Int
    public var segments: UnsafePointer<Segment>
    public var segmentCount: Int
    /// [tuples][Σ length][vectors][16] of `weightType`.
    public var weights: UnsafeRawPointer
    /// float32 where there is more than one tuple, and on the instruction sets that convert no others.
    public var weightType: WeightType
    /// [vectors][16], or nil to go on from `output`.
    public var bias: UnsafePointer<Float>?
    public var output: UnsafeMutablePointer<Float>
    /// Elements from one row's output to the next.
    public var outputStep: Int
    public var rows: Int
    /// 1 … `KernelTable.tileVectors`, in vectors of 16.
    public var vectors: Int
    /// Whether negative results become zero, in the last block of a sum.
    public var rectifies: Bool
    public var tuples: Int
    /// Elements from one tuple to the next.
    public var inputTupleStep: Int
    public var weightTupleStep: Int
    public var outputTupleStep: Int
    /// 1, or `KernelTable.rowPanels` where there are one row and one tuple.
    public var panels: Int
    /// Elements from one panel to the next.
    public var weightPanelStep: Int

    @inlinable
    public init(
        input: UnsafePointer<Float>, inputStep: Int, segments: UnsafePointer<Segment>, segmentCount: Int,
        weights: UnsafeRawPointer, weightType: WeightType, bias: UnsafePointer<Float>?,
        output: UnsafeMutablePointer<Float>, outputStep: Int, rows: Int, vectors: Int, rectifies: Bool, tuples: Int = 1,
        inputTupleStep: Int = 0,
        weightTupleStep: Int = 0, outputTupleStep: Int = 0, panels: Int = 1, weightPanelStep: Int = 0
    ) {
        self.input = input
        self.inputStep = inputStep
        self.segments = segments
        self.segmentCount = segmentCount
        self.weights = weights
        self.weightType = weightType
        self.bias = bias
        self.output = output
        self.outputStep = outputStep
        self.rows = rows
        self.vectors = vectors
        self.rectifies = rectifies
        self.tuples = tuples
        self.inputTupleStep = inputTupleStep
        self.weightTupleStep = weightTupleStep
        self.outputTupleStep = outputTupleStep
        self.panels = panels
        self.weightPanelStep = weightPanelStep
    }
}
