import Images

/// Patches side by side in one picture, the first with a frame.
struct ContactSheet {
    var columns: Int
    /// Pixels of the sheet for a pixel of a patch, along each side.
    var enlargement: Int

    /// Pixels between two patches and around all of them.
    static let gap = 4
    /// Of the frame around the first patch, which lies in the gap.
    static let frame = 2
    /// Per channel; grey sheets take the first.
    private static let background: [UInt8] = [255, 255, 255]
    private static let frameColor: [UInt8] = [214, 39, 40]

    /// The most values of a sheet: 256 MiB.
    static let maximumCount = 1 << 28

    /// The sheet's height and width; nil where it would be too large.
    func size(of count: Int, height: Int, width: Int) -> (height: Int, width: Int)? {
        let (rows, across) = ((count + columns - 1) / columns, min(columns, count))
        let sheetHeight = rows * (height * enlargement + Self.gap) + Self.gap
        let sheetWidth = across * (width * enlargement + Self.gap) + Self.gap
        let (area, overflows) = sheetHeight.multipliedReportingOverflow(by: sheetWidth)
        return !overflows && area <= Self.maximumCount / 3 ? (sheetHeight, sheetWidth) : nil
    }

    /// Lays out `patches`, all of one size, row by row; nil where there are none or the sheet would be too large.
    func draw(_ patches: [Raster]) -> Raster? {
        guard let first = patches.first,
            let size = size(of: patches.count, height: first.height, width: first.width)
        else { return nil }
        let channels = first.channels.count
        var pixels: [UInt8] = []
        pixels.reserveCapacity(size.height * size.width * channels)
        for _ in 0..<size.height * size.width { pixels += Self.background[..<channels] }

        func fill(_ color: ArraySlice<UInt8>, rows: Range<Int>, columns: Range<Int>) {
            for y in rows {
                for x in columns {
                    let start = (y * size.width + x) * channels
                    pixels.replaceSubrange(start..<start + channels, with: color)
                }
            }
        }
        let side = (height: first.height * enlargement, width: first.width * enlargement)
        let edge = (Self.gap - Self.frame)
        fill(
            Self.frameColor[..<channels], rows: edge..<Self.gap + side.height + Self.frame,
            columns: edge..<Self.gap + side.width + Self.frame)
        for (index, patch) in patches.enumerated() {
            let top = Self.gap + index / columns * (side.height + Self.gap)
            let left = Self.gap + index % columns * (side.width + Self.gap)
            for y in 0..<patch.height {
                for x in 0..<patch.width {
                    let start = (y * patch.width + x) * channels
                    fill(
                        patch.pixels[start..<start + channels],
                        rows: top + y * enlargement..<top + (y + 1) * enlargement,
                        columns: left + x * enlargement..<left + (x + 1) * enlargement)
                }
            }
        }
        return Raster(height: size.height, width: size.width, channels: first.channels, pixels: pixels)
    }
}
