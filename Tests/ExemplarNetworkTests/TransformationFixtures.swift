import KernelInterface
import TestSupport
import Testing
import Transformations

@testable import ExemplarNetwork

/// What the tests of T_α share: seeded pixels, and what an input filling writes for them.
extension TransformationTests {
    static func configuration(height: Int, width: Int, channels: Int) -> NetworkConfiguration {
        var configuration = NetworkConfiguration.sequence(
            [.linear("fc", 2)], height: height, width: width, channels: channels)
        if channels == 3 { configuration.transformations = ranges }
        return configuration
    }

    static func filling(
        _ configuration: NetworkConfiguration, _ instructionSet: InstructionSet
    ) throws -> InputFilling {
        InputFilling(configuration, kernels: try #require(KernelTable.table(for: instructionSet)))
    }

    /// Seeded pixels in a shape, 8-bit or fractions, at an odd address.
    struct Source {
        var shape: NetworkConfiguration.PatchShape
        var bytes: [UInt8]
        var format: PatchPixels.Format

        init(_ shape: NetworkConfiguration.PatchShape, _ format: PatchPixels.Format, seed: UInt64) {
            var random = SeededGenerator(seed: seed)
            self.shape = shape
            self.format = format
            bytes = [0]
            for _ in 0..<shape.count {
                switch format {
                case .uint8: bytes.append(UInt8.random(in: 0...255, using: &random))
                case .float32:
                    withUnsafeBytes(of: Float.random(in: 0...1, using: &random).bitPattern.littleEndian) {
                        bytes += Array($0)
                    }
                }
            }
        }

        var fractions: [Double] {
            switch format {
            case .uint8: bytes.dropFirst().map { Double($0) / 255 }
            case .float32:
                (0..<shape.count).map { index in
                    var bits: UInt32 = 0
                    for byte in 0..<4 { bits |= UInt32(bytes[1 + 4 * index + byte]) << (8 * UInt32(byte)) }
                    return Double(Float(bitPattern: bits))
                }
            }
        }

        func with<Result>(
            _ transformation: Transformation?, _ border: TransformationBorder = .reflect,
            _ body: (EmbedderInput) throws -> Result
        ) rethrows -> Result? {
            try bytes.withUnsafeBytes { bytes in
                try bytes.baseAddress.map {
                    try body(
                        EmbedderInput(
                            pixels: PatchPixels(address: $0 + 1, format: format), height: shape.height,
                            width: shape.width, transformation: transformation, border: border))
                }
            }
        }
    }

    /// The map that `filling` writes, in H, W, C order, out of a wider one where nothing else may be written.
    static func map(
        _ filling: InputFilling, _ shape: NetworkConfiguration.PatchShape, _ input: EmbedderInput
    ) -> [Float] {
        let columnStride = shape.channels + 2
        let rowStride = (shape.width + 3) * columnStride
        var floats = [Float](repeating: .nan, count: shape.height * rowStride)
        floats.withUnsafeMutableBufferPointer { floats in
            guard let base = floats.baseAddress else { return }
            filling.fill(
                MapView(
                    address: base, height: shape.height, width: shape.width, rowStride: rowStride,
                    columnStride: columnStride), from: input)
        }
        var result: [Float] = []
        for index in floats.indices {
            let (y, rest) = index.quotientAndRemainder(dividingBy: rowStride)
            let (x, c) = rest.quotientAndRemainder(dividingBy: columnStride)
            if y < shape.height, x < shape.width, c < shape.channels {
                result.append(floats[index])
            } else if !floats[index].isNaN {
                Issue.record("\(y), \(x), \(c) lies outside the map and was written")
            }
        }
        return result
    }

    /// A window of 8-bit pixels in rows of `side`.
    static func crop(
        _ bytes: [UInt8], from start: Int, side: Int, rows: Range<Int>, columns: Range<Int>, pixelBytes: Int = 3
    ) -> [UInt8] {
        var result: [UInt8] = []
        for row in rows {
            let first = start + (row * side + columns.lowerBound) * pixelBytes
            result += bytes[first..<first + columns.count * pixelBytes]
        }
        return result
    }

    static func bytes(
        _ filling: InputFilling, _ shape: NetworkConfiguration.PatchShape, _ input: EmbedderInput
    ) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: shape.count) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            filling.fill(base, of: shape, from: input)
            count = shape.count
        }
    }
}
