/// One transformed patch, from the pixels of an image into a map (Dosovitskiy et al. 2014, section 3.1).
///
///     u           = column + columnFraction + columnX · x + columnY · y,
///     v           = row + rowFraction + rowX · x + rowY · y,
///                   x = j − (output.width − 1)/2, y = i − (output.height − 1)/2
///     p           = the source at column u and row v, bilinear; in 0 … 1
///     p           = clip(C · (p, 1))                          where there is a contrast matrix C, 3 × 4
///     (H, S, V)   = hsv(p)                                    where the colours change
///     p           = rgb(H + hue, saturation(S), value(V))
///     output[i, j, c] = p_c · scale[c] + offset[c]
///
/// clip is to 0 … 1, NaN included; HSV is that of Smith (1978), with hue 0 for greys.
public struct TransformationArguments {
    /// [height][width][channels], 8-bit or little-endian float32 of any alignment; fewer than 2³¹ pixels between the
    /// first and the last.
    public var source: UnsafeRawPointer
    /// Whether a pixel is a byte, 255 for 1.
    public var isBytes: Bool
    /// At most 2²⁰ each.
    public var height: Int
    public var width: Int
    /// Pixels from one row to the next.
    public var rowPixels: Int
    /// 1 … 16.
    public var channels: Int
    public var border: PixelBorder
    public var map: AffineMap
    /// Rows of C, for red, green and blue; 3 channels only.
    public var contrast: (SIMD4<Float>, SIMD4<Float>, SIMD4<Float>)?
    /// 3 channels only.
    public var color: ColorChange?
    public var output: MapView
    /// By channel.
    public var scale: UnsafePointer<Float>
    public var offset: UnsafePointer<Float>

    @inlinable
    public init(
        source: UnsafeRawPointer, isBytes: Bool, height: Int, width: Int, rowPixels: Int, channels: Int,
        border: PixelBorder, map: AffineMap, contrast: (SIMD4<Float>, SIMD4<Float>, SIMD4<Float>)?,
        color: ColorChange?,
        output: MapView, scale: UnsafePointer<Float>, offset: UnsafePointer<Float>
    ) {
        self.source = source
        self.isBytes = isBytes
        self.height = height
        self.width = width
        self.rowPixels = rowPixels
        self.channels = channels
        self.border = border
        self.map = map
        self.contrast = contrast
        self.color = color
        self.output = output
        self.scale = scale
        self.offset = offset
    }
}

/// What lies beyond an image's pixels.
public enum PixelBorder: Sendable {
    /// The image mirrored at its outermost pixels, which are not repeated.
    case reflect
    /// The nearest pixel.
    case replicate
    case zero
}

/// From a patch's pixels, counted from its centre, to columns and rows of an image.
public struct AffineMap: Sendable {
    /// Where the patch's centre falls: whole columns and rows, apart so that float32 loses nothing in a large image,
    /// and the rest. Whole ones lie within ± 2²¹.
    public var column: Int
    public var row: Int
    public var columnFraction: Float
    public var rowFraction: Float
    /// How far one column to the right moves in the image, and one row down.
    public var columnX: Float
    public var columnY: Float
    public var rowX: Float
    public var rowY: Float

    @inlinable
    public init(
        column: Int, row: Int, columnFraction: Float, rowFraction: Float, columnX: Float, columnY: Float, rowX: Float,
        rowY: Float
    ) {
        self.column = column
        self.row = row
        self.columnFraction = columnFraction
        self.rowFraction = rowFraction
        self.columnX = columnX
        self.columnY = columnY
        self.rowX = rowX
        self.rowY = rowY
    }
}

/// What becomes of hue, saturation and value.
public struct ColorChange: Sendable {
    /// Nil leaves it as it is.
    public var saturation: Curve?
    public var value: Curve?
    /// In sixths of a turn, 0 … 6.
    public var hue: Float

    /// x ↦ clip(factor · x^power + offset), x in 0 … 1.
    public struct Curve: Sendable {
        public var power: Float
        public var factor: Float
        public var offset: Float

        @inlinable
        public init(power: Float, factor: Float, offset: Float) {
            self.power = power
            self.factor = factor
            self.offset = offset
        }
    }

    @inlinable
    public init(saturation: Curve?, value: Curve?, hue: Float) {
        self.saturation = saturation
        self.value = value
        self.hue = hue
    }
}
