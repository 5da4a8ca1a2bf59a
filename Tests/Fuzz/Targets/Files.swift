import Images
import Safetensors

/// A PNG, JPEG or WebP of at most 65,536 pixels: an error, or all of its pixels.
func fuzzImage(_ bytes: UnsafeRawBufferPointer) {
    let limit = 1 << 16
    for channels in Raster.Channels.allCases {
        do throws(ImageError) {
            let raster = try Raster(decoding: Array(bytes), as: channels, maximumPixels: limit)
            check(raster.height * raster.width <= limit, "more pixels than allowed")
            check(raster.pixels.count == raster.height * raster.width * channels.count, "pixels are missing")
        } catch {
            check(!error.description.isEmpty, "no reason given")
        }
    }
}

/// A weight file: refused, or every tensor lies within the file and can be read.
func fuzzSafetensors(_ bytes: UnsafeRawBufferPointer) {
    do throws(SafetensorsError) {
        let file = try SafetensorsFile(bytes: Array(bytes), name: "fuzz")
        for tensor in file.tensors.values {
            check(tensor.range.lowerBound >= 0 && tensor.range.upperBound <= bytes.count, "a tensor beyond the file")
            check(tensor.count * tensor.type.byteCount == tensor.range.count, "a tensor of another size")
            check(file.bytes(of: tensor).count == tensor.range.count, "bytes are missing")
            withUnsafeTemporaryAllocation(of: Float.self, capacity: max(tensor.count, 1)) { values in
                guard let output = values.baseAddress else { return }
                let isRead = file.read(0..<tensor.count, of: tensor, into: output)
                check(isRead == [.float32, .float16, .bfloat16].contains(tensor.type), "read, or not, as no float")
            }
        }
    } catch {
        check(!error.description.isEmpty, "no reason given")
    }
}
