import KernelInterface
import Safetensors
import TestSupport
import Testing

@testable import ExemplarNetwork

/// What the planner chooses, and how it tells.
@Suite struct PlanTests {
    /// Images that run together in a large batch.
    private let group = ExecutionPlan.maximumGroup

    private func choice(_ layer: PlannedLayer, _ optimization: Optimization) -> WinogradShape? {
        AlgorithmChoice.winograd(layer, accuracy: .standard, costs: CostModel(optimization, images: group))
    }

    @Test func thePlannerTakesTheCheapAlgorithms() throws {
        let layers = try PlannedLayer.sequence(
            .sequence(
                [
                    .convolution("conv1", 64, kernel: 5, padding: 2), .convolution("conv2", 64, kernel: 3, padding: 1),
                    .convolution("conv3", 64, kernel: 5, padding: 2),
                    .convolution("conv4", 64, kernel: 5, stride: 2, padding: 2), .convolution("conv5", 64, kernel: 7),
                ], height: 32, width: 32, channels: 3))
        func choices(_ accuracy: Accuracy) -> [WinogradShape?] {
            layers.map {
                AlgorithmChoice.winograd($0, accuracy: accuracy, costs: CostModel(.throughput, images: group))
            }
        }
        #expect(choices(.exact) == [nil, nil, nil, nil, nil])
        // Products of three channels are made on the way, where larger tiles do not help.
        #expect(choices(.standard) == [.f4k5, .f4k3, .f8k5i, nil, nil])
        #expect(choices(.fast) == [.f4k5, .f4k3, .f8k5, nil, nil])
    }

    /// Through the public door.
    @Test(arguments: [
        (Accuracy.exact, Optimization.throughput, "direct 5x5"), (.standard, .throughput, "F(8x8, 5x5, i)"),
        (.standard, .latency, "F(4x4, 5x5)"), (.fast, .throughput, "F(8x8, 5x5)"),
    ])
    func theOptionsReachThePlanner(_ accuracy: Accuracy, _ goal: Optimization, _ algorithm: String) throws {
        let folder = try TemporaryModel(.planned(), golden: 0)
        let model = try Model.load(folder: folder.path, options: ModelOptions(accuracy: accuracy, optimize: goal))
        #expect(model.plan[1].algorithm == algorithm)
    }

    /// The third convolution of the paper's medium network, over an 8×8 map: one large tile, whose weights are 169/64
    /// of those of F(4×4, 5×5).
    @Test func aSmallMapTakesTheSmallerWeights() throws {
        let layers = try PlannedLayer.sequence(
            .sequence([.convolution("conv", 256, kernel: 5, padding: 2)], height: 8, width: 8, channels: 128))
        #expect(choice(layers[0], .throughput) == .f4k5)
    }

    /// Over a 4×4 map F(4×4, 5×5) has the fewest products, and F(2×2, 5×5) 36/64 of its weights: worth it for a patch
    /// alone, which fetches them from memory.
    @Test func latencyTakesTheSmallerWeights() throws {
        let layers = try PlannedLayer.sequence(
            .sequence([.convolution("conv", 256, kernel: 5, padding: 2)], height: 4, width: 4, channels: 256))
        #expect(choice(layers[0], .throughput) == .f4k5)
        #expect(choice(layers[0], .latency) == .f2k5)
    }

    /// A patch alone reads all weights of the second one for itself.
    @Test func latencyKeepsTheSmallerTilesOfThePapersNetworks() throws {
        for channels in [64, 128] {
            let layers = try PlannedLayer.sequence(
                .sequence(
                    [.convolution("conv2", channels, kernel: 5, padding: 2)], height: 16, width: 16, channels: 64))
            #expect(choice(layers[0], .throughput) == .f8k5i)
            #expect(choice(layers[0], .latency) == .f4k5)
        }
    }

    /// What bits depend on is the same whatever the caches; what goes by them is not.
    @Test(arguments: [20, 64, 200])
    func noCacheSizeChangesASum(channels: Int) {
        let source = MapLayout(
            height: 9, width: 9, channels: channels, columnStride: MapLayout.padded(channels), border: Extent(1, 1))
        func blocking(level1: Int) -> ReductionBlocking {
            ReductionBlocking(
                kernel: Extent(3, 3), over: source, vectors: 2,
                caches: CacheSizes(level1: level1, level2: 32 * level1))
        }
        let (small, large) = (blocking(level1: 32 << 10), blocking(level1: 256 << 10))
        #expect(small.segments == large.segments)
        #expect(small.blocks.count > large.blocks.count)
        for blocking in [small, large] {
            #expect(blocking.segments.reduce(0) { $0 + $1.length } == 9 * channels)
            for block in blocking.blocks { #expect(blocking.segments[block.segments.upperBound - 1].endsSum) }
        }
        // 128 inputs have their weights, of 32 channels each, in 16 KiB.
        var (sum, longest) = (0, 0)
        for segment in small.segments {
            sum += segment.length
            longest = max(longest, sum)
            if segment.endsSum { sum = 0 }
        }
        #expect(sum == 0 && longest <= 128)
    }

    @Test(arguments: [
        (64, WinogradShape.f4k5, [64]), (65, .f4k5, [32, 33]), (65, .f8k5, [32, 33]), (65, .f2k3, [32, 33]),
        (256, .f4k3, [128, 128]), (257, .f2k5, [85, 86, 86]), (384, .f4k5, [128, 128, 128]), (32, .f8k5i, [32]),
        (33, .f8k5i, [16, 17]), (64, .f8k5i, [32, 32]), (65, .f8k5i, [21, 22, 22]),
    ])
    func manyChannelsAreSummedInParts(_ channels: Int, _ shape: WinogradShape, _ lengths: [Int]) {
        let sums = WinogradConvolution.partialSums(of: channels, shape)
        #expect(sums.map(\.length) == lengths)
        #expect(sums.map(\.offset) == lengths.indices.map { lengths[..<$0].reduce(0, +) })
        #expect(sums.allSatisfy { $0.endsSum })
    }

    @Test func complexPointsAreNamed() throws {
        let configuration = NetworkConfiguration.sequence(
            [.convolution("conv1", 40, kernel: 1), .convolution("conv2", 40, kernel: 5)], height: 19, width: 28,
            channels: 3)
        // Whose bits the tests of batches, crews and images compare.
        #expect(NetworkTests.cases.contains { $0.configuration.layers.prefix(2) == configuration.layers[...] })
        for instructionSet in InstructionSet.available {
            let entry = try Network(.random(configuration, seed: 62), instructionSet).entries(.throughput)[1]
            #expect(entry.algorithm == "F(8x8, 5x5, i)")
            // Two by three tiles of 13 × 13 products, to 48 channels with padding.
            #expect(entry.multiplyAdds == 6 * 169 * 40 * 48)
            #expect(entry.packedByteCount == 4 * (169 * 40 * 48 + 48))
        }
    }

    private static let everyKind = NetworkConfiguration.sequence(
        [
            .convolution("conv1", 20, kernel: 5, padding: 2), .maxPool("pool1", kernel: 2, stride: 2),
            .convolution("conv2", 40, kernel: 7, padding: 3), .maxPool("pool2", kernel: 2, stride: 2),
            .linear("fc", 30),
        ], height: 32, width: 30, channels: 3)

    @Test(arguments: InstructionSet.available)
    func everyLayerHasAnEntry(_ instructionSet: InstructionSet) throws {
        let network = try Network(.random(Self.everyKind, seed: 61), instructionSet)
        let entries = network.entries(.throughput)
        #expect(entries.map(\.layer) == ["conv1", "pool1", "conv2", "pool2", "fc"])
        #expect(
            entries.map(\.algorithm) == ["F(4x4, 5x5)", "fused max-pool", "direct 7x7", "max-pool", "linear F32"])
        // 8 × 8 tiles of 8 × 8 products, to 32 channels with padding; then rows and columns, windows, channels.
        #expect(entries.map(\.multiplyAdds) == [8 * 8 * 64 * 3 * 32, 0, 16 * 15 * 49 * 20 * 48, 0, 8 * 7 * 40 * 32])
        #expect(
            entries.map(\.effectiveMultiplyAdds)
                == [32 * 30 * 25 * 3 * 20, 0, 16 * 15 * 49 * 20 * 40, 0, 8 * 7 * 40 * 30])
        #expect(
            entries.map(\.packedByteCount)
                == [4 * (64 * 3 * 32 + 32), 0, 4 * (49 * 20 * 48 + 48), 0, 4 * (8 * 7 * 40 * 32 + 32)])
        #expect(abs(entries.reduce(0) { $0 + $1.share } - 1) < 1e-12)
        #expect(entries.map { $0.share > 0 } == [true, false, true, true, true])
        // In a first layer of few channels two tiles by one vector; pooling has none.
        let (rows, vectors) = (network.kernels.tileRows, network.kernels.tileVectors)
        #expect(entries.map(\.tileRows) == [2, 0, rows, 0, rows])
        #expect(entries.map(\.tileVectors) == [1, 0, vectors, 0, vectors])
        // By this machine's caches.
        let tiles = WinogradConvolution.blockSize(
            .f4k5, inChannels: 3, tiles: 64 * network.plan.groupSize, kernels: network.kernels, caches: .current)
        let blocks = [2, 4].map { index in
            let blocks = ReductionBlocking(
                kernel: network.layers[index].window, over: network.plan.layouts[index], vectors: vectors,
                caches: .current
            ).blocks
            return "\(blocks.count) × \(blocks.map(\.count).max() ?? 0) inputs"
        }
        #expect(entries.map(\.blocking) == ["\(tiles) tiles", "", blocks[0], "", blocks[1]])
    }

    /// docs/planner.md's formulas, by hand.
    @Test func costsAreThoseOfTheDocument() throws {
        let layers = try PlannedLayer.sequence(Self.everyKind)
        // Weights are read by four images at a cost of 4, and by one at a cost of 12.
        for (goal, weight) in [(Optimization.throughput, 1.0), (.latency, 12)] {
            let costs = CostModel(goal, images: group)
            // 64 tiles of t = q = 8, m = 4, p = 3, whose 64 products read 3 channels and write 2 vectors.
            let transforms = 64.0 * 16 * (24 + 16) + 64 * 2 * (12 * 6 * 3 + 16 * 12)
            #expect(costs.winograd(layers[0], .f4k5) == (64 + weight) * 64 * 3 * 2 + transforms)
            #expect(costs.direct(layers[2], .float32) == (16 * 15 + weight) * 49 * 20 * 3)
            #expect(costs.maxPool(layers[3]) == 8 * 7 * 4 * 3)
            #expect(costs.direct(layers[4], .float32) == (1 + weight) * 56 * 40 * 2)
            for half in [WeightType.float16, .bfloat16] {
                #expect(costs.direct(layers[4], half) == (1 + weight / 2) * 56 * 40 * 2)
            }
        }
    }

    /// Linear weights are read once for each patch: in half precision they stay as the file has them, which is half the
    /// memory to stream. Those of convolutions are made float32.
    @Test(arguments: InstructionSet.available, [ElementType.float16, .bfloat16])
    func linearWeightsStayInHalfPrecision(_ instructionSet: InstructionSet, _ type: ElementType) throws {
        let configuration = NetworkConfiguration.sequence(
            [.convolution("conv", 20, kernel: 7, padding: 3), .linear("fc", 30)], height: 9, width: 8, channels: 3)
        let network = try Network(.random(configuration, seed: 63), instructionSet, storedAs: type) { _, _ in nil }
        let entries = network.entries(.throughput)
        // Baseline x86-64 has no conversions; NEON has.
        #if arch(x86_64)
            let converts = instructionSet != .portable
        #else
            let converts = true
        #endif
        #expect(network.kernels.takesHalfWeights == converts)
        let (name, byteCount) = converts ? (type.rawValue, 2) : ("F32", 4)
        #expect(entries.map(\.algorithm) == ["direct 7x7", "linear \(name)"])
        // Of 20 and of 30 channels, which are 32 with padding.
        #expect(
            entries.map(\.packedByteCount)
                == [4 * (49 * 3 * 32 + 32), byteCount * (9 * 8 * 20 * 32) + 4 * 32])
        // Of costs as above: weights that are half as long take half the time to arrive.
        let (conv, fc) = ((9.0 * 8 + 1) * 49 * 3 * 2, (1 + Double(byteCount) / 4) * 9 * 8 * 20 * 2)
        #expect(abs(entries[1].share - fc / (conv + fc)) < 1e-12, "\(entries[1].share)")
    }
}
