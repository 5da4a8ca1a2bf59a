/// Pixels in memory: 8 bits a value, row-major height × width × channels, without padding between rows.
public struct Raster: Equatable, Sendable {
    /// What a pixel is made of.
    public enum Channels: Int, CaseIterable, Sendable {
        /// One value: luma.
        case grey = 1
        /// Red, green, blue.
        case rgb = 3

        /// The values of one pixel.
        public var count: Int { rawValue }
    }

    /// Rows; at least 1.
    public let height: Int
    /// Pixels in a row; at least 1.
    public let width: Int
    /// What a pixel is made of.
    public let channels: Channels
    /// `height * width * channels.count` bytes, row-major H × W × C.
    public let pixels: [UInt8]

    /// A raster of these pixels; nil where their number is not that of the sizes.
    public init?(height: Int, width: Int, channels: Channels, pixels: [UInt8]) {
        guard height > 0, width > 0 else { return nil }
        let (area, overflow) = height.multipliedReportingOverflow(by: width)
        guard !overflow, pixels.count % channels.count == 0, pixels.count / channels.count == area else { return nil }
        self.height = height
        self.width = width
        self.channels = channels
        self.pixels = pixels
    }

    /// The part of `height` rows and `width` columns whose top left pixel is at column `x` and row `y`; nil where any
    /// of it lies outside.
    public func crop(x: Int, y: Int, height: Int, width: Int) -> Raster? {
        guard (1...self.height).contains(height), (1...self.width).contains(width),
            (0...self.height - height).contains(y), (0...self.width - width).contains(x)
        else { return nil }
        var part: [UInt8] = []
        part.reserveCapacity(height * width * channels.count)
        for row in y..<y + height {
            let start = (row * self.width + x) * channels.count
            part += pixels[start..<start + width * channels.count]
        }
        return Raster(height: height, width: width, channels: channels, pixels: part)
    }

    /// The luma of every pixel, as ITU-R BT.601 weighs red, green and blue: 0.299, 0.587, 0.114, rounded. A pixel whose
    /// three values are the same keeps that value. A grey raster is returned as it is.
    public func grey() -> Raster {
        guard channels == .rgb else { return self }
        let count = height * width
        let luma = [UInt8](unsafeUninitializedCapacity: count) { luma, initialized in
            pixels.withUnsafeBufferPointer { rgb in
                for index in 0..<count {
                    // In 16 bits after the point, and summing to 1 there, as Pillow's `convert("L")` has them.
                    let sum =
                        19_595 * UInt32(rgb[3 * index]) + 38_470 * UInt32(rgb[3 * index + 1])
                        + 7_471 * UInt32(rgb[3 * index + 2])
                    luma[index] = UInt8((sum + 0x8000) >> 16)
                }
            }
            initialized = count
        }
        return Raster(height: height, width: width, checked: .grey, pixels: luma)
    }

    init(height: Int, width: Int, checked channels: Channels, pixels: [UInt8]) {
        assert(pixels.count == height * width * channels.count, "the pixels do not fill the raster")
        self.height = height
        self.width = width
        self.channels = channels
        self.pixels = pixels
    }
}
