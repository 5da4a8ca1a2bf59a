import CWebP

/// A WebP through libwebp.
final class WebPDecoder: ImageDecoder {
    let width: Int
    let height: Int
    private let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        self.bytes = bytes
        var features = WebPBitstreamFeatures()
        let status = WebPGetFeatures(bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count, &features)
        width = Int(features.width)
        height = Int(features.height)
        guard status == VP8_STATUS_OK else { throw Self.failure(status) }
        guard features.has_animation == 0 else {
            throw .unsupported(.webp, "animated: save the frame that is meant as an image of its own.")
        }
    }

    /// Of a lossless image, or of the alpha of one that is not: ARGB, its parts in blocks and the alpha, 6 bytes a
    /// pixel; 17 rows on their way; the tables of its prefix codes.
    var workingByteCount: Int {
        func tables(_ stream: UnsafeRawBufferPointer?) -> Int {
            guard let stream else { return 0 }
            return WebPPrefixCodes(width: width, height: height, stream: stream).byteCount(fileByteCount: bytes.count)
        }
        let streams = Self.streams(bytes)
        return 6 * width * height + 17 * 4 * width + max(tables(streams.alpha), tables(streams.lossless))
    }

    /// The lossless bitstreams of the file that libwebp may read, each to the end of the file: no chunk's length is
    /// relied on more than it is there. Of several alphas libwebp reads the last before the image.
    private static func streams(
        _ bytes: UnsafeRawBufferPointer
    ) -> (alpha: UnsafeRawBufferPointer?, lossless: UnsafeRawBufferPointer?) {
        func tag(_ start: Int, is name: StaticString) -> Bool {
            bytes[start..<start + 4].elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: 4))
        }
        func rest(_ start: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: bytes[min(start, bytes.count)...])
        }
        var alpha: UnsafeRawBufferPointer?
        var start = 12
        let isExtended = bytes.count >= start + 8 && tag(start, is: "VP8X")
        while bytes.count - start >= 8 {
            if tag(start, is: "VP8 ") { return (alpha, nil) }
            // Behind a VP8L's tag and length are its signature and size.
            if tag(start, is: "VP8L") { return (alpha, rest(start + 8 + 5)) }
            // libwebp reads a bitstream without tag and length, too.
            guard isExtended else { return (nil, rest(start + 5)) }
            if tag(start, is: "ALPH") {
                // Behind one byte that says how, where it is compressed.
                alpha = bytes.count > start + 8 && bytes[start + 8] & 3 == 1 ? rest(start + 8 + 1) : nil
            }
            let length = bytes.loadUnaligned(fromByteOffset: start + 4, as: UInt32.self)
            start += (8 + Int(UInt32(littleEndian: length)) + 1) & ~1
        }
        return (alpha, nil)
    }

    func decodeRGB(into output: UnsafeMutableBufferPointer<UInt8>) throws(ImageError) {
        var configuration = WebPDecoderConfig()
        guard WebPInitDecoderConfig(&configuration) != 0 else {
            throw .undecodable(.webp, reason: "libwebp is of another version")
        }
        configuration.output.colorspace = MODE_RGB
        configuration.output.is_external_memory = 1
        configuration.output.u.RGBA = WebPRGBABuffer(
            rgba: output.baseAddress, stride: Int32(width * Raster.Channels.rgb.count), size: output.count)
        defer { WebPFreeDecBuffer(&configuration.output) }
        let status = WebPDecode(bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count, &configuration)
        guard status == VP8_STATUS_OK else { throw Self.failure(status) }
    }

    private static func failure(_ status: VP8StatusCode) -> ImageError {
        let reason =
            switch status {
            case VP8_STATUS_OUT_OF_MEMORY: "no memory"
            case VP8_STATUS_UNSUPPORTED_FEATURE: "it uses a feature that libwebp does not know"
            case VP8_STATUS_SUSPENDED, VP8_STATUS_NOT_ENOUGH_DATA: "it ends early"
            default: "its bitstream is wrong"
            }
        return .undecodable(.webp, reason: reason)
    }
}
