/// The file formats that are read, told apart by how a file begins; its name does not matter.
public enum ImageFormat: String, Sendable {
    /// Portable Network Graphics (ISO/IEC 15948), through libspng.
    case png = "PNG"
    /// JPEG (ITU-T T.81), baseline and progressive, through libjpeg-turbo.
    case jpeg = "JPEG"
    /// WebP (RFC 9649), lossy and lossless, through libwebp.
    case webp = "WebP"

    /// The format whose signature `bytes` begin with; nil where it is none of these.
    public init?(signatureOf bytes: UnsafeRawBufferPointer) {
        func stands(_ signature: [UInt8], at offset: Int = 0) -> Bool {
            bytes.count >= offset + signature.count && signature.elementsEqual(bytes[offset...].prefix(signature.count))
        }
        if stands([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
            self = .png
        } else if stands([0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if stands(Array("RIFF".utf8)), stands(Array("WEBP".utf8), at: 8) {
            self = .webp
        } else {
            return nil
        }
    }
}

/// Why bytes did not become pixels. The description is a sentence that says what to do.
public enum ImageError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes begin as no known format does.
    case unknownFormat
    /// The header asks for more pixels than are allowed. Nothing was decoded.
    case tooLarge(ImageFormat, width: Int, height: Int, maximumPixels: Int)
    /// The file is damaged, cut short, or not what its signature says; the reason is the library's.
    case undecodable(ImageFormat, reason: String)
    /// The file is whole, but of a kind that is not read.
    case unsupported(ImageFormat, String)
    /// A raster could not be written.
    case unwritable(ImageFormat, reason: String)

    public var description: String {
        switch self {
        case .unknownFormat:
            "The image is none of PNG, JPEG and WebP: convert it to one of them."
        case .tooLarge(let format, let width, let height, let maximumPixels):
            "The \(format.rawValue) is \(width)×\(height) (width by height), more than the \(maximumPixels) pixels "
                + "that are read: scale it down or cut it into parts."
        case .undecodable(let format, let reason):
            "The \(format.rawValue) cannot be decoded (\(reason)): it is damaged or cut short. Fetch it again, or save "
                + "it anew."
        case .unsupported(let format, let what):
            "The \(format.rawValue) is \(what)"
        case .unwritable(let format, let reason):
            "The \(format.rawValue) cannot be written (\(reason)): choose a smaller raster."
        }
    }
}
