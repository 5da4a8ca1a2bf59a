/// A Winograd algorithm F(m×m, r×r): m×m outputs of an r×r convolution from tiles of t×t inputs, t = m + r − 1, with
/// p² products for each pair of channels instead of m²r² (Winograd 1980; Lavin and Gray 2016).
///
/// Its points are 0, ±a_1 … ±a_n and ∞, t = 2n + 2, so that the transforms split into even and odd halves. A product
/// for each makes p = t. Where a_1 is the imaginary unit, the values at ±i are one complex number and its conjugate,
/// whose product takes three real ones (Gauss): p = t + 1.
public enum WinogradShape: Sendable, Equatable, CaseIterable {
    /// F(2×2, 3×3), n = 1.
    case f2k3
    /// F(4×4, 3×3), n = 2.
    case f4k3
    /// F(2×2, 5×5), n = 2.
    case f2k5
    /// F(4×4, 5×5), n = 3.
    case f4k5
    /// F(8×8, 5×5), n = 5.
    case f8k5
    /// F(8×8, 5×5), n = 5, with ±i among its points, for about a thirtieth of the error of real points alone.
    case f8k5i

    /// m: rows and columns of a tile's outputs.
    public var outputs: Int {
        switch self {
        case .f2k3, .f2k5: 2
        case .f4k3, .f4k5: 4
        case .f8k5, .f8k5i: 8
        }
    }

    /// r.
    public var kernel: Int {
        switch self {
        case .f2k3, .f4k3: 3
        case .f2k5, .f4k5, .f8k5, .f8k5i: 5
        }
    }

    /// t: rows and columns of a tile's inputs.
    public var inputs: Int { outputs + kernel - 1 }

    /// n: pairs of finite points other than 0.
    public var pairs: Int { (inputs - 2) / 2 }

    /// Whether a_1 is i.
    public var hasImaginaryPair: Bool { self == .f8k5i }

    /// p: rows and columns of a tile's products.
    public var products: Int { hasImaginaryPair ? inputs + 1 : inputs }

    /// Whether the products of few input channels are made on the way. Where they are so few the transforms are most of
    /// the work, and those of larger tiles have more of it, and no room in the registers.
    public var fitsFewChannels: Bool { outputs <= 4 }

    /// Floats from one tuple to the next of inputs that `transformOutput` makes products of.
    public static let narrowStep = 4

    /// Tiles that `transformNarrowInput` takes at a time.
    public static let stripTiles = 8

    /// Floats that the transforms work in.
    public var scratchCount: Int {
        let (m, t, p) = (outputs, inputs, products)
        let strip = (m * (Self.stripTiles - 1) + t + 3) / 4 * 4 * ((p + 3) / 4 * 16)
        return max(16 * p * t, strip, 16 * m * (2 * p + m))
    }
}

/// The input transform V = Bᵀ d B of a run of neighbouring tiles, 16 channels at a time.
///
/// Tile i covers t × t inputs from `input` + i · m · `columnStride` on. Element (x, y) of its transform, channel c:
///
///     output[(x · p + y) · tupleStep + i · tileStep + c] =
///         Σ_jk Bᵀ[x, j] · input[j · rowStride + (i · m + k) · columnStride + c] · Bᵀ[y, k]
///
/// Row 0 of Bᵀ d is Σ_k q_k d_2k, its last row Σ_k q_k d_(2k+1), and the rows of a pair ±a_i are E_i ± a_i O_i with
/// E_i = Σ_k c_ik d_(2k+2), O_i = Σ_k c_ik d_(2k+1); q are the coefficients of Π_j (x² − a_j²), c_i of the same
/// product without its factor i. Those of the pair ±i are E_1 + O_1, O_1 and E_1, for E_1 + i O_1 is the value at i.
///
/// `transformNarrowInput` does the same for an input of at most 4 channels, in vectors of 4 pixels, where the shape
/// `fitsFewChannels`: `columnStride` is 4, `vectors` is 0, 4 channels are written, and up to 3 pixels behind a row of
/// tiles are read.
public struct InputTransformArguments {
    public var shape: WinogradShape
    public var input: UnsafePointer<Float>
    public var rowStride: Int
    public var columnStride: Int
    /// Vectors of 16 channels.
    public var vectors: Int
    /// Tiles side by side.
    public var tiles: Int
    public var output: UnsafeMutablePointer<Float>
    public var tupleStep: Int
    public var tileStep: Int
    /// `shape.scratchCount` floats, 64-byte aligned.
    public var scratch: UnsafeMutablePointer<Float>
    /// a_1 … a_n (1 for i), then q_0 … q_n, then c_10 … c_1(n−1) … c_n(n−1).
    public var coefficients: UnsafePointer<Float>

    @inlinable
    public init(
        shape: WinogradShape, input: UnsafePointer<Float>, rowStride: Int, columnStride: Int, vectors: Int, tiles: Int,
        output: UnsafeMutablePointer<Float>, tupleStep: Int, tileStep: Int, scratch: UnsafeMutablePointer<Float>,
        coefficients: UnsafePointer<Float>
    ) {
        self.shape = shape
        self.input = input
        self.rowStride = rowStride
        self.columnStride = columnStride
        self.vectors = vectors
        self.tiles = tiles
        self.output = output
        self.tupleStep = tupleStep
        self.tileStep = tileStep
        self.scratch = scratch
        self.coefficients = coefficients
    }
}

/// The output transform Y = Aᵀ M A of a run of neighbouring tiles, with bias, rectifier and 2×2 max-pooling.
///
///     y[i][u, v] = activation(bias + Σ_jk Aᵀ[u, j] · input[(j · p + k) · tupleStep + i · tileStep] · Aᵀ[v, k])
///
/// where Aᵀ[u] has a_j^u for the point a_j, and ∞ adds to the last row alone. Outputs beyond `rows` or `columns` are
/// not written. With pooling each 2×2 block of y becomes its maximum, and blocks that are not whole are dropped.
///
/// The pair ±i has three products, of E + O, O and E with g, g + h and g − h, where g + i h is twice the kernel's
/// value at i over the product of its distances to the other points. The first less the second is the real part of z =
/// (E + i O)(g + i h), the third less the first that of i z; row u wants the real part of i^u z.
///
/// Where `channels` is 1 or 3, and the shape `fitsFewChannels`, the products are made on the way: `input` holds
/// transformed inputs, of which channel c of tuple f is at i · tileStep + 4f + c, `vectors` is 1, and
///
///     product[f][i][l] = Σ_c input[i · tileStep + 4f + c] · weights[(f · channels + c) · 16 + l]
///
/// so that what is many times as large as what it is made of never passes through memory. The steps are constants,
/// which leaves no address to compute.
public struct OutputTransformArguments {
    public var shape: WinogradShape
    /// Input channels of products that are made on the way, 1 or 3; 0 where `input` holds products.
    public var channels: Int
    public var weights: UnsafePointer<Float>
    public var input: UnsafePointer<Float>
    public var tupleStep: Int
    public var tileStep: Int
    /// Vectors of 16 channels.
    public var vectors: Int
    /// Tiles side by side.
    public var tiles: Int
    /// [vectors][16].
    public var bias: UnsafePointer<Float>
    public var rectifies: Bool
    public var pools: Bool
    /// Where the first tile's first output (or pooled output) goes.
    public var output: UnsafeMutablePointer<Float>
    public var rowStride: Int
    public var columnStride: Int
    /// Rows and columns of the map, before pooling, from the first tile's first output on.
    public var rows: Int
    public var columns: Int
    /// `shape.scratchCount` floats, 64-byte aligned.
    public var scratch: UnsafeMutablePointer<Float>
    /// a_1^0 … a_n^0, a_1^1 … a_n^1, up to the power m − 1; a_1 is 1 or i. Neither its column nor the
    /// first row, which is 1, is read.
    public var powers: UnsafePointer<Float>

    @inlinable
    public init(
        shape: WinogradShape, channels: Int, weights: UnsafePointer<Float>, input: UnsafePointer<Float>, tupleStep: Int,
        tileStep: Int, vectors: Int, tiles: Int, bias: UnsafePointer<Float>, rectifies: Bool, pools: Bool,
        output: UnsafeMutablePointer<Float>, rowStride: Int,
        columnStride: Int, rows: Int, columns: Int, scratch: UnsafeMutablePointer<Float>,
        powers: UnsafePointer<Float>
    ) {
        self.shape = shape
        self.channels = channels
        self.weights = weights
        self.input = input
        self.tupleStep = tupleStep
        self.tileStep = tileStep
        self.vectors = vectors
        self.tiles = tiles
        self.bias = bias
        self.rectifies = rectifies
        self.pools = pools
        self.output = output
        self.rowStride = rowStride
        self.columnStride = columnStride
        self.rows = rows
        self.columns = columns
        self.scratch = scratch
        self.powers = powers
    }
}
