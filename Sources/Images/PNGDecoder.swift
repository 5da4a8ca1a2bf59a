import CPNG

/// A PNG through libspng.
final class PNGDecoder: ImageDecoder {
    let width: Int
    let height: Int
    private let context: OpaquePointer

    /// Colour profiles and texts are kept, inflated, while a file is read: this is the most memory for one of them, and
    /// for all of them.
    private static let metadataLimit = 16 << 20

    init(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        guard let context = spng_ctx_new(0) else { throw .undecodable(.png, reason: "no memory") }
        self.context = context
        var header = spng_ihdr()
        var status = spng_set_png_buffer(context, bytes.baseAddress, bytes.count)
        if status == 0 { status = spng_set_chunk_limits(context, Self.metadataLimit, Self.metadataLimit) }
        if status == 0 { status = spng_get_ihdr(context, &header) }
        width = Int(header.width)
        height = Int(header.height)
        guard status == 0 else { throw Self.failure(status) }
    }

    deinit { spng_ctx_free(context) }

    /// Two rows as the file has them, of up to eight bytes a pixel, and one more of an interlaced file.
    var workingByteCount: Int { (2 * 8 + 3) * width }

    func decodeRGB(into output: UnsafeMutableBufferPointer<UInt8>) throws(ImageError) {
        // Without SPNG_DECODE_TRNS, transparency is left out; without SPNG_DECODE_GAMMA, values are as stored.
        var status = spng_decode_image(
            context, output.baseAddress, output.count, Int32(bitPattern: SPNG_FMT_RGB8.rawValue), 0)
        // The last row may be there although the file ends after it: read on to the end that the format has.
        if status == 0 { status = spng_decode_chunks(context) }
        guard status == 0 else { throw Self.failure(status) }
    }

    private static func failure(_ status: Int32) -> ImageError {
        .undecodable(.png, reason: String(cString: spng_strerror(status)))
    }
}
