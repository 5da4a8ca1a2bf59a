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
