import KernelInterface
import TestSupport
import Testing

@testable import ExemplarNetwork

/// Forward passes against the double-precision oracle, on every instruction set that this machine runs.
@Suite struct NetworkTests {
    static let cases: [(name: String, configuration: NetworkConfiguration)] = [
        (
            "the small network's shape, narrow",
            .sequence(
                [
                    .convolution("conv1", 8, kernel: 5, padding: 2), .maxPool("pool1", kernel: 2, stride: 2),
                    .convolution("conv2", 20, kernel: 5, padding: 2), .maxPool("pool2", kernel: 2, stride: 2),
                    .linear("fc", 24),
                ], height: 16, width: 16, channels: 3)
        ),
        (
            "odd sizes, stride 2, ceil pooling, one channel",
            .sequence(
                [
                    .convolution("conv1", 17, kernel: 7, stride: 2, padding: 3),
                    .maxPool("pool1", kernel: 3, stride: 2, rounding: .ceil),
                    .convolution("conv2", 33, kernel: 3, padding: 1), .linear("fc", 7), .linear("head", 50, .none),
                ], height: 21, width: 19, channels: 1)
        ),
        (
            "kernel 11, stride 3, nine by nine",
            .sequence(
                [.convolution("conv1", 5, kernel: 11, stride: 3, padding: 5), .linear("fc", 3)],
                height: 9, width: 9, channels: 1)
        ),
        (
            "kernel 1, no padding, no activation",
            .sequence(
                [.convolution("conv1", 16, kernel: 1, activation: .none), .convolution("conv2", 1, kernel: 8)],
                height: 8, width: 11, channels: 16)
        ),
        (
            "different by rows and columns",
            .sequence(
                [
                    LayerConfiguration(
                        name: "conv1",
                        kind: .convolution(
                            outChannels: 48, kernel: Extent(3, 5), stride: Extent(1, 2), padding: Extent(1, 0),
                            activation: .relu)),
                    LayerConfiguration(
                        name: "pool1",
                        kind: .maxPool(
                            kernel: Extent(2, 3), stride: Extent(2, 1), padding: Extent(1, 1), rounding: .floor)),
                    .convolution("conv2", 40, kernel: 2, stride: 1, padding: 1),
                ], height: 10, width: 14, channels: 2)
        ),
        (
            "linear layers alone",
            .sequence(
                [.linear("fc1", 130), .linear("fc2", 65), .linear("head", 1, .none)], height: 8, width: 8, channels: 5)
        ),
        (
            "one window of ceil pooling over less than its kernel, of the input and of a map",
            .sequence(
                [
                    .maxPool("pool1", kernel: 11, stride: 4, rounding: .ceil), .linear("fc1", 20),
                    .linear("fc2", 7, .none),
                ], height: 8, width: 10, channels: 3)
        ),
        (
            "ceil pooling of two by two",
            .sequence(
                [
                    .convolution("conv1", 18, kernel: 4, stride: 4, activation: .none),
                    .maxPool("pool1", kernel: 3, stride: 2, rounding: .ceil), .convolution("conv2", 5, kernel: 1),
                ], height: 8, width: 8, channels: 3)
        ),
        (
            "complex points: sums in two parts over tiles that are cut",
            .sequence(
                [
                    .convolution("conv1", 40, kernel: 1), .convolution("conv2", 40, kernel: 5),
                    .maxPool("pool2", kernel: 2, stride: 2), .linear("fc", 9),
                ], height: 19, width: 28, channels: 3)
        ),
        (
            "a convolution after a linear layer",
            .sequence(
                [.linear("fc", 20), .convolution("conv", 19, kernel: 3, padding: 2)], height: 8, width: 8, channels: 1)
        ),
    ]

    static let variants: [(InstructionSet, Accuracy)] = InstructionSet.available.flatMap { instructionSet in
        Accuracy.allCases.map { (instructionSet, $0) }
    }

    private static let batch = 7

    /// What the oracle makes of a batch of each case, once for all variants.
    private static let expected = cases.enumerated().map { index, entry in
        Once {
            let patches = RandomPatches(entry.configuration.input, count: batch, seed: 99)
            return (0..<batch).map { oracle(index).outputs(for: patches.pixels($0)) }
        }
    }

    private static func oracle(_ index: Int) -> Oracle { .random(cases[index].configuration, seed: UInt64(index) + 1) }

    @Test(arguments: variants, cases.indices)
    func everyLayerAgreesWithTheOracle(_ variant: (InstructionSet, Accuracy), _ index: Int) throws {
        let (name, configuration) = Self.cases[index]
        let network = try Network(Self.oracle(index), variant.0, variant.1)
        let batch = Self.batch
        let embedder = try Embedder(network: network, maximumBatch: batch, poisoned: true)
        let patches = RandomPatches(configuration.input, count: batch, seed: 99)
        let selection = LayerSelection(
            indices: network.layers.indices.filter { network.layers[$0].isSelectable })
        let result = patches.withPixels { embedder.embed($0, selection) }
        #expect(result.rows == batch)
        let expected = Self.expected[index].value
        var offset = 0
        for index in selection.indices {
            let layer = configuration.layers[index].name
            let values = try expected.map { try #require($0[layer]).values }
            let count = values[0].count
            let error = relativeRMS(
                (0..<batch).flatMap { result[$0][offset..<offset + count] }, values.flatMap { $0 })
            #expect(error < variant.1.tolerance, "\(name), \(layer), \(variant): relative RMS \(error)")
            offset += count
        }
        #expect(offset == result.dimension)
    }

    @Test(arguments: variants)
    func aPatchGivesTheSameBitsAtAnyBatchSizeAndPosition(_ variant: (InstructionSet, Accuracy)) throws {
        for (name, configuration) in Self.cases {
            let network = try Network(Oracle.random(configuration, seed: 5), variant.0, variant.1)
            let patches = RandomPatches(configuration.input, count: 33, seed: 6)
            let selection = LayerSelection(indices: [configuration.layers.count - 1])
            let alone = try Embedder(network: network, maximumBatch: 1, poisoned: true)
            let reference: [[UInt32]] = patches.withPixels { pixels in
                pixels.indices.map { index in
                    let single = UnsafeBufferPointer(rebasing: pixels[index..<index + 1])
                    return alone.embed(single, selection)[0].map(\.bitPattern)
                }
            }
            for maximumBatch in [2, 5, 13, 33] {
                let embedder = try Embedder(network: network, maximumBatch: maximumBatch, poisoned: true)
                patches.withPixels { pixels in
                    for start in stride(from: 0, to: pixels.count, by: maximumBatch) {
                        let end = min(start + maximumBatch, pixels.count)
                        let result = embedder.embed(UnsafeBufferPointer(rebasing: pixels[start..<end]), selection)
                        for row in 0..<result.rows {
                            #expect(
                                result[row].map(\.bitPattern) == reference[start + row],
                                "\(name), patch \(start + row) in batches of \(maximumBatch)")
                        }
                    }
                }
            }
        }
    }

    @Test func fractionsAndBytesOfThePixelsAgree() throws {
        let configuration = Self.cases[0].configuration
        let oracle = Oracle.random(configuration, seed: 11)
        let embedder = try Embedder(network: Network(oracle, .portable), maximumBatch: 1, poisoned: true)
        let patches = RandomPatches(configuration.input, count: 1, seed: 12)
        let fractions = patches.pixels(0).map { Float($0 / 255) }
        let selection = LayerSelection(indices: [configuration.layers.count - 1])
        let result = fractions.withUnsafeBytes { bytes in
            // One byte off, as a fraction in the middle of a line may be.
            let storage = [0] + Array(bytes)
            return storage.withUnsafeBytes { storage -> [Float] in
                guard let base = storage.baseAddress else { return [] }
                let inputs = [
                    EmbedderInput(
                        pixels: PatchPixels(address: base + 1, format: .float32), height: configuration.input.height,
                        width: configuration.input.width)
                ]
                return inputs.withUnsafeBufferPointer { Array(embedder.embed($0, selection)[0]) }
            }
        }
        let expected = try #require(oracle.outputs(for: patches.pixels(0))["fc"]).values
        let error = relativeRMS(result, expected)
        #expect(error < Accuracy.standard.tolerance, "relative RMS \(error)")
    }
}
