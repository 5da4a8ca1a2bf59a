import KernelInterface
import Platform
import TestSupport
import Testing

@testable import ExemplarNetwork

/// Images larger than the patch, fully convolutionally, with the patch's packed weights.
@Suite struct LargerImageTests {
    /// One pixel more each way, odd sizes, one side only.
    static let growths = [(rows: 1, columns: 1), (7, 12), (0, 5), (18, 3)]

    /// What the oracle makes of three images of each case and growth, once for all variants.
    private static let expected = NetworkTests.cases.indices.map { index in
        growths.map { growth in
            Once {
                let shape = grown(index, growth)
                let images = RandomPatches(shape, count: 3, seed: 42)
                return (0..<3).map { oracle(index).outputs(for: images.pixels($0), of: shape) }
            }
        }
    }

    private static func oracle(_ index: Int) -> Oracle {
        .random(NetworkTests.cases[index].configuration, seed: UInt64(index) + 41)
    }

    private static func grown(
        _ index: Int, _ growth: (rows: Int, columns: Int)
    ) -> NetworkConfiguration.PatchShape {
        var shape = NetworkTests.cases[index].configuration.input
        shape.height += growth.rows
        shape.width += growth.columns
        return shape
    }

    @Test(arguments: NetworkTests.variants, NetworkTests.cases.indices)
    func everyLayerAgreesWithTheOracle(_ variant: (InstructionSet, Accuracy), _ index: Int) throws {
        let (name, configuration) = NetworkTests.cases[index]
        let network = try Network(Self.oracle(index), variant.0, variant.1)
        for (growth, expected) in zip(Self.growths, Self.expected[index]) {
            let shape = Self.grown(index, growth)
            let larger = try network.resized(height: shape.height, width: shape.width)
            let embedder = try Embedder(network: larger, maximumBatch: 3, poisoned: true)
            #expect(embedder.inputShape == shape)
            let images = RandomPatches(shape, count: 3, seed: 42)
            for pooling in [Pooling.none, .quadrant] {
                let selection = LayerSelection(
                    indices: larger.layers.indices.filter { larger.layers[$0].isSelectable }, pooling: pooling)
                let result = images.withPixels { embedder.embed($0, selection) }
                #expect(result.dimension == larger.dimension(of: selection))
                var offset = 0
                for index in selection.indices {
                    let layer = configuration.layers[index].name
                    let maps = try expected.value.map { try #require($0[layer]) }
                    let values = maps.map { pooling == .none ? $0.values : $0.quadrants() }
                    let count = values[0].count
                    let error = relativeRMS(
                        (0..<3).flatMap { result[$0][offset..<offset + count] }, values.flatMap { $0 })
                    #expect(
                        error < variant.1.tolerance,
                        "\(name), \(layer), \(variant), \(shape), \(pooling): relative RMS \(error)")
                    offset += count
                }
                #expect(offset == result.dimension)
            }
        }
    }

    private final class Counter: ForwardPassObserver {
        var count = 0
        /// Signs of life after which the result is not wanted any more.
        var patience = Int.max

        func didAdvance() -> Bool {
            count += 1
            return count < patience
        }
    }

    /// A large image is minutes on a slow machine: signs of life come from within each layer, and change no bit.
    @Test(arguments: NetworkTests.variants)
    func signsOfLifeComeFromWithinALayer(_ variant: (InstructionSet, Accuracy)) throws {
        let configuration = NetworkConfiguration.sequence(
            [.convolution("conv1", 16, kernel: 3, padding: 1), .linear("fc", 8)], height: 8, width: 8, channels: 3)
        let network = try Network(Oracle.random(configuration, seed: 45), variant.0, variant.1)
            .resized(height: 300, width: 40)
        let embedder = try Embedder(network: network, maximumBatch: 1)
        let shape = NetworkConfiguration.PatchShape(height: 300, width: 40, channels: 3)
        let selection = LayerSelection(indices: [0, 1])
        RandomPatches(shape, count: 1, seed: 46).withPixels { pixels in
            let alone = Array(embedder.embed(pixels, selection)[0]).map(\.bitPattern)
            let counter = Counter()
            embedder.observer = counter
            let observed = Array(embedder.embed(pixels, selection)[0]).map(\.bitPattern)
            #expect(counter.count >= 10, "\(counter.count) in two layers")
            #expect(observed == alone)
        }
    }

    /// Wherever it is given up, by one thread or by several that meet between the layers, the pass ends at once and the
    /// next one with the same memory has every bit.
    @Test(arguments: [Accuracy.standard, .exact], [1, 2])
    func aPassThatNobodyWaitsForEnds(_ accuracy: Accuracy, _ members: Int) throws {
        let configuration = NetworkConfiguration.sequence(
            [
                .convolution("conv1", 16, kernel: 3, padding: 1), .maxPool("pool1", kernel: 2, stride: 2),
                .convolution("conv2", 16, kernel: 3, padding: 1), .linear("fc", 8),
            ], height: 8, width: 8, channels: 3)
        let network = try Network(Oracle.random(configuration, seed: 47), .portable, accuracy)
            .resized(height: 300, width: 24)
        let embedder = try Embedder(network: network, maximumBatch: 1, members: members)
        let crew = try Crew(count: members, startThread: startThread)
        let shape = NetworkConfiguration.PatchShape(height: 300, width: 24, channels: 3)
        let selection = LayerSelection(indices: [0, 2, 3])
        RandomPatches(shape, count: 1, seed: 48).withPixels { pixels in
            func pass(_ patience: Int) -> (signs: Int, bits: [UInt32]) {
                let counter = Counter()
                counter.patience = patience
                embedder.observer = counter
                defer { embedder.observer = nil }
                let bits = embedder.embed(pixels, selection, crew: crew)[0].map(\.bitPattern)
                return (counter.count, bits)
            }
            let whole = pass(.max)
            #expect(whole.signs > 6, "\(whole.signs)")
            for patience in 1...whole.signs {
                #expect(pass(patience).signs == patience)
                #expect(pass(.max).bits == whole.bits, "after one given up at \(patience)")
            }
        }
    }

    @Test(arguments: NetworkTests.variants)
    func thePatchsOwnSizeGivesThePatchsBits(_ variant: (InstructionSet, Accuracy)) throws {
        for (name, configuration) in NetworkTests.cases {
            let network = try Network(Oracle.random(configuration, seed: 43), variant.0, variant.1)
            let same = try network.resized(height: configuration.input.height, width: configuration.input.width)
            let patches = RandomPatches(configuration.input, count: 4, seed: 44)
            let selection = LayerSelection(
                indices: network.layers.indices.filter { network.layers[$0].isSelectable })
            func rows(_ network: Network) throws -> [[UInt32]] {
                let embedder = try Embedder(network: network, maximumBatch: 4, poisoned: true)
                return patches.withPixels { pixels in
                    let result = embedder.embed(pixels, selection)
                    return (0..<result.rows).map { result[$0].map(\.bitPattern) }
                }
            }
            #expect(try rows(same) == rows(network), "\(name)")
        }
    }

    /// Without padding an output sees its patch alone: each pixel of the last map is the patch's embedding at that
    /// place, every four pixels.
    @Test(arguments: InstructionSet.available)
    func aLargeImageIsItsPatches(_ instructionSet: InstructionSet) throws {
        let configuration = NetworkConfiguration.sequence(
            [
                .convolution("conv1", 6, kernel: 5), .maxPool("pool1", kernel: 2, stride: 2),
                .convolution("conv2", 18, kernel: 5), .maxPool("pool2", kernel: 2, stride: 2), .linear("fc", 10),
                .linear("head", 5, .none),
            ], height: 28, width: 28, channels: 3)
        let oracle = Oracle.random(configuration, seed: 45)
        let network = try Network(oracle, instructionSet)
        let shape = NetworkConfiguration.PatchShape(height: 512, width: 509, channels: 3)
        let image = RandomPatches(shape, count: 1, seed: 46)
        let larger = try network.resized(height: shape.height, width: shape.width)
        #expect(larger.plan.groupSize == 1)
        let embedder = try Embedder(network: larger, maximumBatch: 1)
        let result = image.withPixels { Array(embedder.embed($0, LayerSelection(indices: [5]))[0]) }
        let pixels = image.pixels(0)
        let (rows, columns) = (122, 121)
        #expect(result.count == 5 * rows * columns)
        for (row, column) in [(0, 0), (0, 120), (121, 0), (121, 120), (60, 17), (93, 88)] {
            let patch = (0..<28).flatMap { y in
                let start = ((4 * row + y) * shape.width + 4 * column) * 3
                return pixels[start..<start + 28 * 3]
            }
            let expected = try #require(oracle.outputs(for: patch)["head"]).values
            let actual = (0..<5).map { result[($0 * rows + row) * columns + column] }
            let error = relativeRMS(actual, expected)
            #expect(error < Accuracy.standard.tolerance, "row \(row), column \(column): relative RMS \(error)")
        }
    }

    @Test func sizesOutOfRangeAreRefused() throws {
        let folder = try TemporaryModel(ModelTests.oracle, golden: 0)
        let model = try Model.load(folder: folder.path)
        func refusal(_ height: Int, _ width: Int) -> String {
            let error = #expect(throws: ModelError.self) {
                try model.makeEmbedder(maximumBatch: 1, height: height, width: width)
            }
            return error?.description ?? ""
        }
        // The patch has 17 rows and 12 columns.
        #expect(refusal(16, 12).contains("16 × 12 is smaller than the network's patch of 17 × 12"))
        #expect(refusal(17, 11).contains("smaller"))
        #expect(refusal(-1, Int.min).contains("smaller"))
        #expect(refusal(Int.max, Int.max).contains("too large"))
        #expect(refusal(1 << 16, 1 << 16).contains("too large"))
        #expect(throws: ModelError.self) { try model.makeEmbedder(maximumBatch: Int.max, height: 40, width: 40) }
        #expect(throws: ModelError.self) { try model.makeEmbedder(maximumBatch: 0, height: 40, width: 40) }
    }

    @Test func shapesAndDimensionsFollowTheImage() throws {
        let folder = try TemporaryModel(ModelTests.oracle, golden: 0)
        let model = try Model.load(folder: folder.path)
        // conv1 halves with padding, pool1 halves with ceil, fc sees 4 × 3 of its map.
        #expect(try model.shape(of: "conv1", height: 33, width: 24) == [6, 17, 12])
        #expect(try model.shape(of: "pool1", height: 33, width: 24) == [6, 8, 6])
        #expect(try model.shape(of: "fc", height: 33, width: 24) == [10, 5, 4])
        #expect(try model.dimension(of: model.embeddingOnly, height: 33, width: 24) == 200)
        var pooled = model.allLayers
        pooled.pooling = .quadrant
        #expect(try model.dimension(of: pooled, height: 33, width: 24) == model.dimension(of: pooled))
        #expect(throws: ModelError.self) { try model.shape(of: "nothing", height: 33, width: 24) }
    }
}
