import KernelInterface

/// How one image's map lies in memory: NHWC, with the zero border that the next layer's padding wants around it.
struct MapLayout: Sendable, Equatable {
    let height: Int
    let width: Int
    /// The map's own channels.
    let channels: Int
    /// Elements from one column to the next: `channels`, padded to whole vectors where kernels write it.
    let columnStride: Int
    /// Zeros before the first row and the first column, and after the last.
    let border: Extent
    /// More zeros after the last row and column, where whole tiles reach beyond the border.
    var overhang = Extent(0, 0)

    /// Elements from one row to the next, the border included.
    var rowStride: Int { (width + 2 * border.width + overhang.width) * columnStride }
    /// Elements from the buffer's start to row 0, column 0.
    var origin: Int { border.height * rowStride + border.width * columnStride }
    /// Elements of one image.
    var count: Int { (height + 2 * border.height + overhang.height) * rowStride }

    /// The map of the image whose buffer starts at `buffer`.
    func view(_ buffer: UnsafeMutablePointer<Float>) -> MapView {
        MapView(
            address: buffer + origin, height: height, width: width, rowStride: rowStride, columnStride: columnStride)
    }

    /// `columnStride` of a network's input of few channels that a Winograd convolution reads.
    static let narrowStride = 4

    /// A channel count rounded up to whole vectors.
    static func padded(_ channels: Int) -> Int { vectors(channels) * KernelTable.lanes }

    /// Vectors that so many channels take.
    static func vectors(_ channels: Int) -> Int { (channels + KernelTable.lanes - 1) / KernelTable.lanes }
}
