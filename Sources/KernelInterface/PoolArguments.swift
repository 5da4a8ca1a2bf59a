/// A map of one image as the kernels see it: NHWC with channels padded to whole vectors of 16.
public struct MapView {
    /// Row 0, column 0, channel 0 of the map proper; a border of zeros may lie before it.
    public var address: UnsafeMutablePointer<Float>
    public var height: Int
    public var width: Int
    /// Elements from one row to the next.
    public var rowStride: Int
    /// Elements from one column to the next: the padded channel count, except in a network's input.
    public var columnStride: Int

    @inlinable
    public init(
        address: UnsafeMutablePointer<Float>, height: Int, width: Int, rowStride: Int, columnStride: Int
    ) {
        self.address = address
        self.height = height
        self.width = width
        self.rowStride = rowStride
        self.columnStride = columnStride
    }
}

/// The maximum over each window of a map, channel by channel.
///
///     output[y, x, c] = max over window rows i and columns j inside the input of input[i, j, c],
///     i in y · strideHeight − paddingHeight ..< + kernelHeight, and j alike
///
/// Windows are clipped at the input's border, which serves padding and ceil rounding alike; each window must hold at
/// least one input. A stride may be 0.
public struct PoolArguments {
    public var input: MapView
    public var output: MapView
    /// Padded channels, a multiple of 16; or the 1 … 16 of a network's input, which are read as a whole vector: up to
    /// 15 floats beyond the last pixel, which must be readable and come out in the output's channels of padding alone.
    public var channels: Int
    public var kernelHeight: Int
    public var kernelWidth: Int
    public var strideHeight: Int
    public var strideWidth: Int
    public var paddingHeight: Int
    public var paddingWidth: Int

    @inlinable
    public init(
        input: MapView, output: MapView, channels: Int, kernelHeight: Int, kernelWidth: Int, strideHeight: Int,
        strideWidth: Int, paddingHeight: Int, paddingWidth: Int
    ) {
        self.input = input
        self.output = output
        self.channels = channels
        self.kernelHeight = kernelHeight
        self.kernelWidth = kernelWidth
        self.strideHeight = strideHeight
        self.strideWidth = strideWidth
        self.paddingHeight = paddingHeight
        self.paddingWidth = paddingWidth
    }
}

/// The mean of a map, channel by channel.
///
///     output[c] = (Σ_y Σ_x input[y, x, c]) / (height · width)
///
/// Each row is summed from left to right, then the rows' sums from top to bottom: the same bits on every instruction
/// set, and an error that grows with the map's side and not with its area.
public struct MeanArguments {
    public var input: MapView
    /// `channels` floats.
    public var output: UnsafeMutablePointer<Float>
    /// Padded channels, a multiple of 16.
    public var channels: Int

    @inlinable
    public init(input: MapView, output: UnsafeMutablePointer<Float>, channels: Int) {
        self.input = input
        self.output = output
        self.channels = channels
    }
}
