import KernelInterface
import TestSupport
import Testing

@testable import ExemplarNetwork

/// Pooled features against their definition, over maps of odd and even sides.
@Suite struct PoolingTests {
    /// Maps of 11×9, 5×4 and 1×1, with channels beside a multiple of the vector. Without a rectifier, so that a maximum
    /// that starts at 0 would show.
    static let configuration: NetworkConfiguration = {
        var configuration = NetworkConfiguration.sequence(
            [
                .convolution("conv1", 19, kernel: 3, padding: 1, activation: .none),
                .maxPool("pool1", kernel: 2, stride: 2), .convolution("conv2", 33, kernel: 3, padding: 1),
                .linear("fc", 21, .none), .linear("head", 6, .none),
            ], height: 11, width: 9, channels: 3)
        configuration.featureScales = ["conv1": 0.25, "fc": 3]
        return configuration
    }()

    @Test(arguments: InstructionSet.available, Pooling.allCases)
    func pooledLayersAgreeWithTheOracle(_ instructionSet: InstructionSet, _ pooling: Pooling) throws {
        let configuration = Self.configuration
        let oracle = Oracle.random(configuration, seed: 31)
        let network = try Network(oracle, instructionSet)
        let embedder = try Embedder(network: network, maximumBatch: 15, poisoned: true)
        let patches = RandomPatches(configuration.input, count: 15, seed: 32)
        // Every layer, then one alone: the others' maps are pooled or not on the way.
        for indices in [[0, 2, 3, 4], [2]] {
            let selection = LayerSelection(indices: indices, pooling: pooling)
            let result = patches.withPixels { embedder.embed($0, selection) }
            #expect(result.dimension == network.dimension(of: selection))
            for row in [0, 12, 14] {
                let outputs = oracle.outputs(for: patches.pixels(row))
                var offset = 0
                for index in indices {
                    let name = configuration.layers[index].name
                    let map = try #require(outputs[name])
                    let expected =
                        switch pooling {
                        case .none: map.values
                        case .quadrant: map.quadrants(scale: Double(configuration.featureScales[name] ?? 1))
                        case .max: map.maxima
                        case .mean: map.means
                        }
                    let error = relativeRMS(result[row][offset..<offset + expected.count], expected)
                    #expect(
                        error < Accuracy.standard.tolerance,
                        "\(name), \(pooling), row \(row): relative RMS \(error)")
                    offset += expected.count
                }
                #expect(offset == result.dimension)
            }
        }
    }

    @Test func aSingleValueStandsInEveryQuadrant() throws {
        let oracle = Oracle.random(Self.configuration, seed: 33)
        let embedder = try Embedder(network: Network(oracle, .portable), maximumBatch: 1, poisoned: true)
        let patches = RandomPatches(Self.configuration.input, count: 1, seed: 34)
        let whole = patches.withPixels { Array(embedder.embed($0, LayerSelection(indices: [4]))[0]) }
        let quadrants = patches.withPixels {
            Array(embedder.embed($0, LayerSelection(indices: [4], pooling: .quadrant))[0])
        }
        #expect(quadrants == whole.flatMap { [$0, $0, $0, $0] })
    }

    /// The networks of Dosovitskiy et al. 2014, whose features by quadrant have these lengths.
    @Test(arguments: [([64, 64], 128, 1024), ([64, 128, 256], 512, 3840), ([92, 256, 512], 1024, 7536)])
    func theDimensionsAreThePapers(_ channels: [Int], _ features: Int, _ dimension: Int) throws {
        var layers: [LayerConfiguration] = []
        for (index, channels) in channels.enumerated() {
            layers.append(.convolution("conv\(index)", channels, kernel: 5, padding: 2))
            if index < 2 { layers.append(.maxPool("pool\(index)", kernel: 2, stride: 2)) }
        }
        let sequence = try PlannedLayer.sequence(
            .sequence(layers + [.linear("fc", features)], height: 32, width: 32, channels: 3))
        let counts = sequence.filter(\.isSelectable).map { Pooling.quadrant.count(of: $0.output) }
        #expect(counts.reduce(0, +) == dimension)
    }

    /// The mean over the same map on every instruction set: additions in one order, without fused products.
    @Test func theMeanHasTheSameBitsOnEveryInstructionSet() throws {
        var random = SeededGenerator(seed: 35)
        let (height, width, channels) = (37, 53, 32)
        var map = (0..<height * width * channels).map { _ in Float.random(in: -1...1, using: &random) }
        let means = InstructionSet.available.compactMap(KernelTable.table(for:)).map { kernels in
            var output = [Float](repeating: .nan, count: channels)
            map.withUnsafeMutableBufferPointer { map in
                output.withUnsafeMutableBufferPointer { output in
                    guard let map = map.baseAddress, let output = output.baseAddress else { return }
                    let view = MapView(
                        address: map, height: height, width: width, rowStride: width * channels,
                        columnStride: channels)
                    kernels.meanPool(MeanArguments(input: view, output: output, channels: channels))
                }
            }
            return output.map(\.bitPattern)
        }
        #expect(means.allSatisfy { $0 == means[0] })
        let expected = (0..<channels).map { channel in
            stride(from: channel, to: map.count, by: channels).reduce(0) { $0 + Double(map[$1]) }
                / Double(height * width)
        }
        // Rows and then their sums are random walks, whose n additions each round by at most 2⁻²⁴ of where they are:
        // together √(n/6) · 2⁻²⁴ of the end, 1.8e-7 for 53 and 1.5e-7 for 37. Four times both.
        #expect(relativeRMS(means[0].map(Float.init(bitPattern:)), expected) < 1e-6)
    }

    /// The formula of PyTorch's `pooling_output_shape` (aten/src/ATen/native/Pool.h), whose division rounds down.
    @Test func ceilCountsWindowsAsPyTorchDoes() throws {
        func windows(_ size: Int, _ kernel: Int, _ stride: Int, _ padding: Int) -> Int {
            let last = Double(size + 2 * padding - (kernel - 1) - 1 + stride - 1) / Double(stride)
            let count = Int(last.rounded(.down)) + 1
            return max(0, (count - 1) * stride >= size + padding ? count - 1 : count)
        }
        var (vanished, wrong) = (0, [[Int]]())
        for (size, kernel) in (8...14).flatMap({ size in (1...11).map { (size, $0) } }) {
            for (stride, padding) in (1...4).flatMap({ stride in (0...kernel / 2).map { (stride, $0) } }) {
                let layer = LayerConfiguration.maxPool(
                    "pool", kernel: kernel, stride: stride, padding: padding, rounding: .ceil)
                let expected = windows(size, kernel, stride, padding)
                let sequence = try? PlannedLayer.sequence(
                    .sequence([layer], height: size, width: 11, channels: 1))
                if sequence?.first?.output.height ?? 0 != expected { wrong.append([size, kernel, stride, padding]) }
                vanished += expected == 0 ? 1 : 0
            }
        }
        #expect(wrong.isEmpty && vanished > 0)
    }
}
