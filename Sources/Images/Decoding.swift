/// One file being decoded. Its sizes are known before anything of its pixels is decoded or has memory.
protocol ImageDecoder: AnyObject {
    /// Reads the header of `bytes`, which must stay valid for as long as the decoder lives.
    init(_ bytes: UnsafeRawBufferPointer) throws(ImageError)

    var width: Int { get }
    var height: Int { get }

    /// Bytes that decoding takes beside the pixels that it gives, at most, without metadata.
    var workingByteCount: Int { get }

    /// Decodes into `output`, row-major height × width × 3. Succeeds only where every pixel of the file is there.
    func decodeRGB(into output: UnsafeMutableBufferPointer<UInt8>) throws(ImageError)
}

/// What the header of an image file says: read before anything of the pixels is decoded or has memory.
public struct ImageHeader: Equatable, Sendable {
    public let format: ImageFormat
    /// Rows; at least 1.
    public let height: Int
    /// Pixels in a row; at least 1.
    public let width: Int
    /// Bytes that decoding takes beside the raster, at most, without metadata.
    private let workingByteCount: Int

    /// Reads the header of `bytes`, the whole file, and compares its sizes with `maximumPixels`.
    ///
    /// - Throws: `ImageError`, whose description says what to do.
    public init(of bytes: [UInt8], maximumPixels: Int) throws(ImageError) {
        let result = bytes.withUnsafeBytes { bytes in
            Result { () throws(ImageError) in
                let (format, decoder) = try decoder(of: bytes)
                return try ImageHeader(decoder, format, maximumPixels)
            }
        }
        self = try result.get()
    }

    fileprivate init(
        _ decoder: any ImageDecoder, _ format: ImageFormat, _ maximumPixels: Int
    ) throws(ImageError) {
        let (width, height) = (decoder.width, decoder.height)
        guard width > 0, height > 0 else { throw .undecodable(format, reason: "it has no pixels") }
        let (area, areaOverflow) = width.multipliedReportingOverflow(by: height)
        // Of all that decoding may take.
        let (_, overflow) = area.multipliedReportingOverflow(by: Self.mostBytesPerPixel)
        guard !areaOverflow, !overflow, area <= maximumPixels else {
            throw .tooLarge(format, width: width, height: height, maximumPixels: maximumPixels)
        }
        (self.format, self.width, self.height) = (format, width, height)
        workingByteCount = decoder.workingByteCount
    }

    private static let mostBytesPerPixel = 16

    /// Bytes that decoding takes at most, with the raster that it makes and without metadata: RGB, then luma if that is
    /// wanted, and what the format's library works with.
    public func decodingByteCount(as channels: Raster.Channels) -> Int {
        let luma = channels == .grey ? channels.count : 0
        return height * width * (Raster.Channels.rgb.count + luma) + workingByteCount
    }
}

/// The format of a file and its decoder, which has read the header.
private func decoder(of bytes: UnsafeRawBufferPointer) throws(ImageError) -> (ImageFormat, any ImageDecoder) {
    guard let format = ImageFormat(signatureOf: bytes) else { throw .unknownFormat }
    return switch format {
    case .png: (format, try PNGDecoder(bytes))
    case .jpeg: (format, try JPEGDecoder(bytes))
    case .webp: (format, try WebPDecoder(bytes))
    }
}

extension Raster {
    /// Decodes a PNG, JPEG or WebP, whichever `bytes` begin as.
    ///
    /// The pixels are those stored in the file, in its order and colours:
    /// - alpha is dropped, not composited over a background: a transparent pixel has the colour that the file gives it;
    /// - of 16-bit values the upper 8 bits count; palettes and fewer than 8 bits are expanded to 8;
    /// - colour profiles, gamma and an orientation in EXIF are not applied;
    /// - of an RGB image `.grey` is the luma that `grey()` describes; grey images become RGB by repeating the value.
    ///
    /// The sizes in the header are compared with `maximumPixels` before anything is decoded or has memory. Decoding
    /// then takes what `ImageHeader.decodingByteCount` says, and for metadata at most 16 MiB. A file that ends early is
    /// an error, never half an image.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - channels: what is wanted of it.
    ///   - maximumPixels: the most that width times height may be.
    /// - Throws: `ImageError`, whose description says what to do.
    public init(decoding bytes: [UInt8], as channels: Channels, maximumPixels: Int) throws(ImageError) {
        let result = bytes.withUnsafeBytes { bytes in
            Result { () throws(ImageError) in
                let (format, decoder) = try decoder(of: bytes)
                return try Raster(decoder, ImageHeader(decoder, format, maximumPixels))
            }
        }
        let rgb = try result.get()
        self = channels == .grey ? rgb.grey() : rgb
    }

    private init(_ decoder: any ImageDecoder, _ header: ImageHeader) throws(ImageError) {
        let count = header.height * header.width * Channels.rgb.count
        var failure: ImageError?
        let pixels = [UInt8](unsafeUninitializedCapacity: count) { output, initialized in
            do throws(ImageError) {
                try decoder.decodeRGB(into: UnsafeMutableBufferPointer(rebasing: output[..<count]))
                initialized = count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        self.init(height: header.height, width: header.width, checked: .rgb, pixels: pixels)
    }
}
