import KernelInterface
import Safetensors
import Tensors
import TestSupport
import Testing
import Transformations

@testable import ExemplarNetwork

/// T_α as it fills the network's input, against double precision.
@Suite struct TransformationTests {
    private static let contrast = TransformationRanges.Contrast(
        mean: [0.5, 0.35, 0.3],
        components: [[0.6, -0.8, 0], [0.48, 0.36, -0.8], [0.64, 0.48, 0.6]], sigma: [1, 1, 0.5])
    static let ranges = TransformationRanges(
        translation: 0.25, scale: 0.7071...1.4142, rotationDegrees: 20, contrast: contrast,
        color: TransformationRanges.Color(power: 0.25...4, factor: 0.7071...1.4142, offset: -0.1...0.1),
        hue: -0.1...0.1, border: .reflect)

    @Test(arguments: InstructionSet.available)
    func everyValueIsTheOraclesWithinRounding(_ instructionSet: InstructionSet) throws {
        let sampler = TransformationSampler(ranges: Self.ranges)
        var index: UInt64 = 0
        var (loose, total) = (0, 0)
        for channels in [1, 3, 4] {
            for (height, width) in [(32, 32), (11, 19)] {
                let configuration = Self.configuration(height: height, width: width, channels: channels)
                let shape = configuration.input
                let filling = try Self.filling(configuration, instructionSet)
                for (sourceHeight, sourceWidth) in [(74, 74), (height, width), (45, 33), (7, 61), (1, 3), (2, 1)] {
                    let source = Source(
                        .init(height: sourceHeight, width: sourceWidth, channels: channels),
                        index.isMultiple(of: 2) ? .uint8 : .float32, seed: index)
                    let oracle = OracleTransformation(
                        source: source.fractions, height: sourceHeight, width: sourceWidth, channels: channels,
                        contrast: channels == 3 ? Self.contrast : nil)
                    for border in TransformationBorder.allCases {
                        var alpha = sampler.draw(seed: 1, index: index)
                        if index % 5 == 4 {
                            alpha = alpha.restricted(to: TransformationSteps(rawValue: UInt8(index % 64)))
                        }
                        index += 1
                        guard alpha != .identity else { continue }
                        let values = try #require(source.with(alpha, border) { Self.map(filling, shape, $0) })
                        let expected = oracle.patch(height: height, width: width, alpha, border)
                        #expect(values.count == expected.count)
                        for (position, (actual, expected)) in zip(values, expected).enumerated() {
                            let preprocessing = configuration.preprocessing
                            let c = position % channels
                            let value = Double(actual) * preprocessing.std[c] + preprocessing.mean[c]
                            let tolerance = 2e-5 + 3 * expected.spread
                            if tolerance > 1.0 / 255 { loose += 1 }
                            total += 1
                            guard !(abs(value - expected.value) <= tolerance) else { continue }
                            Issue.record(
                                """
                                \(value) instead of \(expected.value) ± \(tolerance) at \(position) of \(shape), \
                                \(sourceHeight)×\(sourceWidth), \(border), \(alpha)
                                """)
                            return
                        }
                    }
                }
            }
        }
        // Where colours are ill-conditioned the oracle allows more; were that common, the test would say little.
        #expect(loose * 50 < total, "\(loose) of \(total)")
    }

    /// Reference patches of the Python side of this project; models/training/golden_transformations.py has their
    /// layout.
    @Test(arguments: InstructionSet.available)
    func goldenPatchesAgreeWithinOneLevel(_ instructionSet: InstructionSet) throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let file = try SafetensorsFile(path: "/\(root)/models/training/golden_transformations.safetensors")
        func bytes(_ name: String) throws -> [UInt8] {
            let tensor = try #require(file.tensors[name])
            return Array(file.bytes(of: tensor))
        }
        func doubles(_ name: String) throws -> [Double] {
            let bytes = try bytes(name)
            return stride(from: 0, to: bytes.count, by: 8).map { start in
                var bits: UInt64 = 0
                for index in 0..<8 { bits |= UInt64(bytes[start + index]) << (8 * UInt64(index)) }
                return Double(bitPattern: bits)
            }
        }
        let contexts = try bytes("contexts")
        let indices = try bytes("context")
        let (bare, borders, pixels) = (try bytes("bare"), try bytes("border"), try bytes("pixels"))
        let (translation, scale, rotation) = (
            try doubles("translation"), try doubles("scale"), try doubles("rotation_degrees")
        )
        let (contrast, power, factor) = (try doubles("contrast"), try doubles("power"), try doubles("factor"))
        let (offset, hue) = (try doubles("offset"), try doubles("hue"))
        let (mean, components) = (try doubles("mean"), try doubles("components"))

        var configuration = Self.configuration(height: 32, width: 32, channels: 3)
        configuration.transformations?.contrast = TransformationRanges.Contrast(
            mean: mean, components: (0..<3).map { Array(components[3 * $0..<3 * $0 + 3]) }, sigma: [1, 1, 1])
        let filling = try Self.filling(configuration, instructionSet)
        #expect(bare.count == 35)
        for n in bare.indices {
            func pair(_ values: [Double]) -> SaturationValue {
                SaturationValue(saturation: values[2 * n], value: values[2 * n + 1])
            }
            let alpha = Transformation(
                translationX: translation[2 * n], translationY: translation[2 * n + 1], scale: scale[n],
                rotationDegrees: rotation[n], contrast: Array(contrast[3 * n..<3 * n + 3]), power: pair(power),
                factor: pair(factor), offset: pair(offset), hue: hue[n])
            var context = Source(.init(height: 74, width: 74, channels: 3), .uint8, seed: 0)
            let start = Int(indices[4 * n]) * context.shape.count
            if bare[n] == 1 {
                context.shape = .init(height: 32, width: 32, channels: 3)
                context.bytes = [0] + Self.crop(contexts, from: start, side: 74, rows: 21..<53, columns: 21..<53)
            } else {
                context.bytes = [0] + contexts[start..<start + context.shape.count]
            }
            let border = TransformationBorder.allCases[Int(borders[n])]
            let actual = context.with(alpha, border) { Self.bytes(filling, configuration.input, $0) } ?? []
            let expected = pixels[n * 3072..<(n + 1) * 3072]
            let worst = zip(actual, expected).map { abs(Int($0) - Int($1)) }.max()
            #expect(worst.map { $0 <= 1 } == true, "case \(n): \(String(describing: worst)) levels off")
        }
    }

    @Test(arguments: [PatchPixels.Format.uint8, .float32], InstructionSet.available)
    func theIdentityIsTheCentreWindowToTheBit(_ format: PatchPixels.Format, _ instructionSet: InstructionSet) throws {
        let configuration = Self.configuration(height: 8, width: 10, channels: 3)
        let filling = try Self.filling(configuration, instructionSet)
        let shape = configuration.input
        let context = Source(.init(height: 13, width: 11, channels: 3), format, seed: 3)
        var window = context
        window.shape = shape
        // ⌊(13 − 8)/2⌋ = 2, ⌊(11 − 10)/2⌋ = 0.
        window.bytes =
            [0]
            + Self.crop(
                context.bytes, from: 1, side: 11, rows: 2..<10, columns: 0..<10, pixelBytes: 3 * format.byteCount)
        let plain = window.with(nil) { Self.map(filling, shape, $0) }?.map(\.bitPattern)
        #expect(plain?.count == shape.count)
        for alpha in [nil, .identity, Transformation(translationX: -0.0, scale: 1, hue: -0.0)] {
            #expect(context.with(alpha) { Self.map(filling, shape, $0) }?.map(\.bitPattern) == plain)
        }
        let bytes = context.with(.identity) { Self.bytes(filling, shape, $0) }
        #expect(bytes == window.fractions.map { UInt8(($0 * 255).rounded()) })
    }

    @Test(arguments: InstructionSet.available)
    func wholePixelsMoveExactly(_ instructionSet: InstructionSet) throws {
        let configuration = Self.configuration(height: 8, width: 8, channels: 3)
        let filling = try Self.filling(configuration, instructionSet)
        let context = Source(.init(height: 16, width: 16, channels: 3), .uint8, seed: 4)
        let actual = context.with(Transformation(translationX: 0.25, translationY: -0.25)) {
            Self.bytes(filling, configuration.input, $0)
        }
        let expected = Self.crop(context.bytes, from: 1, side: 16, rows: 2..<10, columns: 6..<14)
        #expect(actual == expected)
    }

    /// α from a client may be anything that JSON can say.
    @Test(arguments: InstructionSet.available)
    func absurdParametersGiveNumbers(_ instructionSet: InstructionSet) throws {
        let configuration = Self.configuration(height: 5, width: 18, channels: 3)
        let filling = try Self.filling(configuration, instructionSet)
        let source = Source(.init(height: 9, width: 20, channels: 3), .uint8, seed: 5)
        let extremes = [1e300, -1e300, 1e-300, 0, -1, .infinity, .nan, 4e9]
        for value in extremes {
            for border in TransformationBorder.allCases {
                for alpha in [
                    Transformation(translationX: value), Transformation(translationY: value),
                    Transformation(scale: value), Transformation(rotationDegrees: value), Transformation(hue: value),
                    Transformation(scale: value, contrast: [value, value, -value]), Transformation(contrast: []),
                    Transformation(power: SaturationValue(saturation: value, value: value)),
                    Transformation(factor: SaturationValue(saturation: value, value: value)),
                    Transformation(
                        power: SaturationValue(saturation: -value, value: -3),
                        factor: SaturationValue(saturation: 0, value: value),
                        offset: SaturationValue(saturation: value, value: -value)),
                ] {
                    let map = source.with(alpha, border) { Self.map(filling, configuration.input, $0) } ?? [.nan]
                    let areFinite = map.allSatisfy(\.isFinite)
                    #expect(areFinite, "\(alpha)")
                    #expect(source.with(alpha, border) { Self.bytes(filling, configuration.input, $0) }?.count == 270)
                }
            }
        }
    }

    /// Longer than float32 counts in quarters of a pixel.
    @Test(arguments: InstructionSet.available)
    func anImageOfAMillionColumnsIsReadInItsMiddle(_ instructionSet: InstructionSet) throws {
        let configuration = Self.configuration(height: 2, width: 9, channels: 1)
        let filling = try Self.filling(configuration, instructionSet)
        let source = Source(.init(height: 2, width: 3_000_001, channels: 1), .uint8, seed: 6)
        let alpha = Transformation(translationX: 0.2, scale: 0.9)
        let oracle = OracleTransformation(source: source.fractions, height: 2, width: 3_000_001, channels: 1)
        let expected = oracle.patch(height: 2, width: 9, alpha, .reflect).map { Int(($0.value * 255).rounded()) }
        let actual = source.with(alpha) { Self.bytes(filling, configuration.input, $0) } ?? []
        #expect(actual.count == 18 && zip(actual, expected).allSatisfy { abs(Int($0) - $1) <= 1 })
    }

    /// Unoptimised, the standard library's own loops allocate, so this is for `make test-optimized`.
    @Test(.enabled(if: isOptimized && AllocatorStatistics.current() != nil, "optimised builds on jemalloc only"))
    func transformationsAllocateNothing() throws {
        let configuration = Self.configuration(height: 32, width: 32, channels: 3)
        let embedder = try Embedder(
            network: Network(Oracle.random(configuration, seed: 8), .best), maximumBatch: 4)
        let sampler = TransformationSampler(ranges: Self.ranges)
        let source = Source(.init(height: 41, width: 40, channels: 3), .uint8, seed: 10)
        let allocated = source.with(nil) { input -> UInt64 in
            let inputs = (0..<4).map { index in
                var input = input
                input.transformation = index == 0 ? nil : sampler.draw(seed: 1, index: UInt64(index))
                return input
            }
            return inputs.withUnsafeBufferPointer { inputs in
                _ = embedder.embed(inputs, LayerSelection(indices: [0]))
                let before = AllocatorStatistics.bytesAllocatedByThread() ?? 0
                for _ in 0..<10 { _ = embedder.embed(inputs, LayerSelection(indices: [0])) }
                return (AllocatorStatistics.bytesAllocatedByThread() ?? 1) - before
            }
        }
        #expect(allocated == 0)
    }

    @Test func theEmbedderSeesTheTransformedPatch() throws {
        let configuration = Self.configuration(height: 6, width: 7, channels: 3)
        let embedder = try Embedder(
            network: Network(Oracle.random(configuration, seed: 8), .best), maximumBatch: 3, poisoned: true)
        let source = Source(.init(height: 15, width: 15, channels: 3), .uint8, seed: 9)
        let alpha = TransformationSampler(ranges: Self.ranges).draw(seed: 3, index: 1)
        let filling = try Self.filling(configuration, .best)
        let map = try #require(source.with(alpha) { Self.map(filling, configuration.input, $0) })
        let pixels = map.enumerated().map { index, value in
            let preprocessing = configuration.preprocessing
            return (Double(value) * preprocessing.std[index % 3] + preprocessing.mean[index % 3]) * 255
        }
        let expected = try #require(Oracle.random(configuration, seed: 8).outputs(for: pixels)["fc"]).values
        let rows = source.with(alpha) { input in
            [source.with(nil) { $0 } ?? input, input, input].withUnsafeBufferPointer { inputs in
                let batch = embedder.embed(inputs, LayerSelection(indices: [0]))
                return (0..<3).map { Array(batch[$0]) }
            }
        }
        // The oracle starts from the very map, so that the linear layer's sums are all that is rounded.
        #expect(relativeRMS(rows?[1] ?? [], expected) < Accuracy.exact.tolerance)
        #expect(rows?[1] == rows?[2] && rows?[0] != rows?[1])
    }
}
