public import Transformations

/// What one row is computed from: the pixels of a patch, or of a larger context around it, and what is done to them.
public struct EmbedderInput {
    public var pixels: PatchPixels
    /// Of the pixels. The patch is the window of the embedder's size that starts at row ⌊(height − h)/2⌋ and column
    /// ⌊(width − w)/2⌋. `border` also fills a patch that has fewer pixels than the embedder reads.
    public var height: Int
    public var width: Int
    /// T_α, applied while the network's input is filled; nil, like the identity, leaves the patch as it is. Contrast
    /// needs the model's components, and colour steps an RGB network: elsewhere they do nothing.
    public var transformation: Transformation?
    /// What T_α sees beyond the pixels.
    public var border: TransformationBorder

    public init(
        pixels: PatchPixels, height: Int, width: Int, transformation: Transformation? = nil,
        border: TransformationBorder = .reflect
    ) {
        self.pixels = pixels
        self.height = height
        self.width = width
        self.transformation = transformation
        self.border = border
    }
}

/// The pixels of one patch, H × W × C row-major, as they were sent. Any alignment.
public struct PatchPixels {
    /// How a pixel is written.
    public enum Format: Sendable {
        /// 0 … 255.
        case uint8
        /// Little-endian; v stands for the pixel 255·v. In [0, 1]: the caller has checked.
        case float32

        /// Bytes of one value.
        public var byteCount: Int {
            switch self {
            case .uint8: 1
            case .float32: 4
            }
        }
    }

    public var address: UnsafeRawPointer
    public var format: Format

    public init(address: UnsafeRawPointer, format: Format) {
        self.address = address
        self.format = format
    }
}
