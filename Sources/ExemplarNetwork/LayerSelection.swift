/// Which layers' outputs a request wants; made by a model, valid for that model.
public struct LayerSelection: Sendable, Hashable {
    /// Of the layers in the network's order, ascending, each once.
    let indices: [Int]
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
