import KernelInterface

/// From pixels to the network's input: (p · scale − mean) / std of each channel, computed in double and rounded once.
struct PixelTable: Sendable {
    private let channels: Int
    /// [256][channels]: the value of each 8-bit pixel.
    private let values: [Float]
    /// The same map for a fraction v = p / 255, as v · factor + offset.
    private let factors: [Double]
    private let offsets: [Double]
    /// Both in float32, for pixels that are transformed on the way.
    private let roundedFactors: [Float]
    private let roundedOffsets: [Float]

    init(_ preprocessing: NetworkConfiguration.Preprocessing, channels: Int) {
        self.channels = channels
        var values: [Float] = []
        for pixel in 0..<256 {
            for channel in 0..<channels {
                values.append(
                    Float(
                        (Double(pixel) * preprocessing.scale - preprocessing.mean[channel])
                            / preprocessing.std[channel]))
            }
        }
        self.values = values
        factors = preprocessing.std.map { 255 * preprocessing.scale / $0 }
        offsets = zip(preprocessing.mean, preprocessing.std).map { -$0 / $1 }
        roundedFactors = factors.map { Float($0) }
        roundedOffsets = offsets.map { Float($0) }
    }

    /// Calls `body` with the factor and the offset of each channel: a fraction v becomes v · factor + offset.
    func withCoefficients(_ body: (_ factors: UnsafePointer<Float>, _ offsets: UnsafePointer<Float>) -> Void) {
        roundedFactors.withUnsafeBufferPointer { factors in
            roundedOffsets.withUnsafeBufferPointer { offsets in
                guard let factors = factors.baseAddress, let offsets = offsets.baseAddress else { return }
                body(factors, offsets)
            }
        }
    }

    /// Writes a window of the map's size into the map.
    ///
    /// - Parameters:
    ///   - pixels: at the window's first pixel.
    ///   - rowPixels: pixels from one row to the next.
    func apply(to pixels: PatchPixels, rowPixels: Int, _ map: MapView) {
        let rowBytes = rowPixels * channels * pixels.format.byteCount
        switch pixels.format {
        case .uint8: applyBytes(pixels.address, rowBytes, map)
        case .float32: applyFractions(pixels.address, rowBytes, map)
        }
    }

    private func applyBytes(_ pixels: UnsafeRawPointer, _ rowBytes: Int, _ map: MapView) {
        // A constant, so that the loop over channels unrolls.
        switch channels {
        case 3: applyBytes(pixels, rowBytes, map, channels: 3)
        case 1: applyBytes(pixels, rowBytes, map, channels: 1)
        default: applyBytes(pixels, rowBytes, map, channels: channels)
        }
    }

    @inline(__always)
    private func applyBytes(_ pixels: UnsafeRawPointer, _ rowBytes: Int, _ map: MapView, channels: Int) {
        values.withUnsafeBufferPointer { values in
            for y in 0..<map.height {
                var source = pixels + y * rowBytes
                var target = map.address + y * map.rowStride
                for _ in 0..<map.width {
                    for channel in 0..<channels {
                        let pixel = Int(source.load(fromByteOffset: channel, as: UInt8.self))
                        target[channel] = values[pixel &* channels &+ channel]
                    }
                    source += channels
                    target += map.columnStride
                }
            }
        }
    }

    private func applyFractions(_ pixels: UnsafeRawPointer, _ rowBytes: Int, _ map: MapView) {
        for y in 0..<map.height {
            var source = pixels + y * rowBytes
            var target = map.address + y * map.rowStride
            for _ in 0..<map.width {
                for channel in 0..<channels {
                    let bits = UInt32(littleEndian: source.loadUnaligned(as: UInt32.self))
                    let fraction = Double(Float(bitPattern: bits))
                    target[channel] = Float(fraction * factors[channel] + offsets[channel])
                    source += 4
                }
                target += map.columnStride
            }
        }
    }
}
