/// One file being decoded. Its sizes are known before anything of its pixels is decoded or has memory.
protocol ImageDecoder: AnyObject {
    /// Reads the header of `bytes`, which must stay valid for as long as the decoder lives.
    init(_ bytes: UnsafeRawBufferPointer) throws(ImageError)

    var width: Int { get }
    var height: Int { get }

    /// Decodes into `output`, row-major height × width × 3. Succeeds only where every pixel of the file is there.
    func decodeRGB(into output: UnsafeMutableBufferPointer<UInt8>) throws(ImageError)
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
    /// then takes 3 bytes a pixel, for a progressive JPEG up to 6 more, for a lossless WebP 4 more, and for metadata
    /// at most 16 MiB. A file that ends early is an error, never half an image.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - channels: what is wanted of it.
    ///   - maximumPixels: the most that width times height may be.
    /// - Throws: `ImageError`, whose description says what to do.
    public init(decoding bytes: UnsafeRawBufferPointer, as channels: Channels, maximumPixels: Int) throws(ImageError) {
        guard let format = ImageFormat(signatureOf: bytes) else { throw .unknownFormat }
        let rgb =
            switch format {
            case .png: try Raster(PNGDecoder(bytes), format, maximumPixels)
            case .jpeg: try Raster(JPEGDecoder(bytes), format, maximumPixels)
            case .webp: try Raster(WebPDecoder(bytes), format, maximumPixels)
            }
        self = channels == .grey ? rgb.grey() : rgb
    }

    /// Decodes a file's bytes, as the initializer that takes a buffer does.
    public init(decoding bytes: [UInt8], as channels: Channels, maximumPixels: Int) throws(ImageError) {
        let result = bytes.withUnsafeBytes { bytes in
            Result { () throws(ImageError) in
                try Raster(decoding: bytes, as: channels, maximumPixels: maximumPixels)
            }
        }
        self = try result.get()
    }

    private init(
        _ decoder: some ImageDecoder, _ format: ImageFormat, _ maximumPixels: Int
    ) throws(ImageError) {
        let (width, height) = (decoder.width, decoder.height)
        guard width > 0, height > 0 else { throw .undecodable(format, reason: "it has no pixels") }
        let (area, areaOverflow) = width.multipliedReportingOverflow(by: height)
        let (count, countOverflow) = area.multipliedReportingOverflow(by: Channels.rgb.count)
        guard !areaOverflow, !countOverflow, area <= maximumPixels else {
            throw .tooLarge(format, width: width, height: height, maximumPixels: maximumPixels)
        }
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
        self.init(height: height, width: width, checked: .rgb, pixels: pixels)
    }
}
