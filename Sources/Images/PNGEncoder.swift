import CPNG
import Glibc

extension Raster {
    /// The raster as a PNG, 8 bits a value, without metadata. Decoding it gives the same pixels.
    public func png() throws(ImageError) -> [UInt8] {
        guard let context = spng_ctx_new(Int32(bitPattern: SPNG_CTX_ENCODER.rawValue)),
            let width = UInt32(exactly: width), let height = UInt32(exactly: height)
        else { throw .unwritable(.png, reason: "no memory") }
        defer { spng_ctx_free(context) }
        let type = channels == .grey ? SPNG_COLOR_TYPE_GRAYSCALE : SPNG_COLOR_TYPE_TRUECOLOR
        var header = spng_ihdr(
            width: width, height: height, bit_depth: 8, color_type: UInt8(truncatingIfNeeded: type.rawValue),
            compression_method: 0, filter_method: 0, interlace_method: 0)
        var status = spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1)
        if status == 0 { status = spng_set_ihdr(context, &header) }
        if status == 0 {
            status = pixels.withUnsafeBytes { pixels in
                spng_encode_image(
                    context, pixels.baseAddress, pixels.count, Int32(bitPattern: SPNG_FMT_PNG.rawValue),
                    Int32(bitPattern: SPNG_ENCODE_FINALIZE.rawValue))
            }
        }
        var count = 0
        // The buffer is the caller's to free, once it is handed out.
        let buffer = status == 0 ? spng_get_png_buffer(context, &count, &status) : nil
        defer { free(buffer) }
        guard status == 0, let buffer else {
            throw .unwritable(.png, reason: String(cString: spng_strerror(status)))
        }
        return Array(UnsafeRawBufferPointer(start: buffer, count: count))
    }
}
