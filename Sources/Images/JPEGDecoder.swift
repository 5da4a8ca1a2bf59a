import CJPEG

/// A JPEG through libjpeg-turbo, with its default inverse transform and chroma upsampling.
final class JPEGDecoder: ImageDecoder {
    let width: Int
    let height: Int
    private let bytes: UnsafeRawBufferPointer
    private let handle: tjhandle

    init(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        guard let handle = tjInitDecompress() else { throw .undecodable(.jpeg, reason: "no memory") }
        self.handle = handle
        self.bytes = bytes
        var (width, height, subsampling, colourSpace) = (Int32(0), Int32(0), Int32(0), Int32(0))
        let status = tjDecompressHeader3(
            handle, bytes.bindMemory(to: UInt8.self).baseAddress, UInt(bytes.count), &width, &height, &subsampling,
            &colourSpace)
        self.width = Int(width)
        self.height = Int(height)
        guard status == 0 else { throw Self.failure(handle) }
        guard !Self.isArithmetic(bytes) else {
            throw .unsupported(.jpeg, "arithmetic-coded: save it Huffman-coded, as nearly all are.")
        }
        guard colourSpace != TJCS_CMYK.rawValue, colourSpace != TJCS_YCCK.rawValue else {
            // Without its colour profile there is only a guess at its colours.
            throw .unsupported(.jpeg, "in CMYK, for printing: convert it to RGB.")
        }
    }

    deinit { _ = tjDestroy(handle) }

    /// Whether the frame's header (ITU-T T.81, table B.1) says that an arithmetic code follows. Browsers do not read
    /// it, and a scan of it may be cut short and takes the time of a whole one: a tenth of a second for 200 bytes.
    ///
    /// - Parameter bytes: a file whose header the library has read, by the same rules.
    private static func isArithmetic(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var position = 2
        while position + 4 <= bytes.count {
            guard bytes[position] == 0xFF else {
                position += 1
                continue
            }
            switch bytes[position + 1] {
            case 0xC0...0xC3, 0xC5...0xC7: return false
            case 0xC9...0xCB, 0xCD...0xCF: return true
            // One of several that fill.
            case 0xFF: position += 1
            // Without a length.
            case 0x00, 0x01, 0xD0...0xD9: position += 2
            default: position += 2 + Int(bytes[position + 2]) << 8 + Int(bytes[position + 3])
            }
        }
        return false
    }

    /// Coefficients of two bytes, since it may be progressive: three a pixel at most, of whole units of up to 32
    /// pixels a side.
    var workingByteCount: Int {
        6 * roundedUp(width, 32) * roundedUp(height, 32)
    }

    private func roundedUp(_ side: Int, _ unit: Int) -> Int { (side + unit - 1) / unit * unit }

    func decodeRGB(into output: UnsafeMutableBufferPointer<UInt8>) throws(ImageError) {
        // A file that ends early is a warning to the library, which would fill the rest with grey. A progressive file
        // of very many scans would take minutes for a few kilobytes.
        let flags = TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS
        let status = tjDecompress2(
            handle, bytes.bindMemory(to: UInt8.self).baseAddress, UInt(bytes.count), output.baseAddress, Int32(width),
            0, Int32(height), TJPF_RGB.rawValue, flags)
        guard status == 0 else { throw Self.failure(handle) }
    }

    private static func failure(_ handle: tjhandle) -> ImageError {
        let reason = String(cString: tjGetErrorStr2(handle))
        // The format allows more ways to store colours in fewer pixels than the library knows.
        guard !reason.contains("subsampling") else {
            return .unsupported(.jpeg, "of an unusual chroma subsampling: save it in 4:4:4 or 4:2:0.")
        }
        return .undecodable(.jpeg, reason: reason)
    }
}
