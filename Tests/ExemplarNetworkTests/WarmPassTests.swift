import KernelInterface
import Platform
import Safetensors
import Tensors
import TestSupport
import Testing

@testable import ExemplarNetwork

/// A pass over warm memory allocates nothing, on any thread that has a part in it. Unoptimised, the standard library's
/// own loops allocate, so this is for `make test-optimized`.
@Suite struct WarmPassTests {
    private static let canCount = isOptimized && AllocatorStatistics.current() != nil

    /// As the paper's networks are built, narrower: each kind of step that a plan has.
    private static let everyStep = NetworkConfiguration.sequence(
        [
            .convolution("conv1", 32, kernel: 5, padding: 2), .maxPool("pool1", kernel: 2, stride: 2),
            .convolution("conv2", 40, kernel: 5, padding: 2), .maxPool("pool2", kernel: 2, stride: 2),
            .convolution("conv3", 40, kernel: 5, padding: 2), .convolution("conv4", 20, kernel: 7, padding: 3),
            .maxPool("pool4", kernel: 3, stride: 2), .linear("fc", 130), .linear("head", 40, .none),
        ], height: 32, width: 32, channels: 3)

    /// Bytes that each member of a crew has allocated between the last two times that it was asked: by its own thread,
    /// which nobody else's figures are about.
    ///
    /// Unchecked: each member has a place of its own.
    private final class AllocatedByMembers: Crew.Work, @unchecked Sendable {
        private let last: UnsafeMutableBufferPointer<UInt64>
        let bytes: UnsafeMutableBufferPointer<UInt64>

        init(members: Int) {
            (last, bytes) = (.allocate(capacity: members), .allocate(capacity: members))
            last.initialize(repeating: 0)
            bytes.initialize(repeating: 0)
        }

        deinit {
            last.deallocate()
            bytes.deallocate()
        }

        func run(member: Int) {
            let now = AllocatorStatistics.bytesAllocatedByThread() ?? 0
            bytes[member] = now - last[member]
            last[member] = now
        }
    }

    private func network(_ instructionSet: InstructionSet, _ accuracy: Accuracy, _ type: ElementType) throws -> Network
    {
        try Network(.random(Self.everyStep, seed: 8), instructionSet, storedAs: type) {
            AlgorithmChoice.winograd($0, accuracy: accuracy, costs: CostModel(.throughput, images: $1))
        }
    }

    private func select(_ network: Network, _ pooling: Pooling) -> LayerSelection {
        var all = LayerSelection(indices: network.layers.indices.filter { network.layers[$0].isSelectable })
        all.pooling = pooling
        return all
    }

    @Test func theNetworkHasEveryStep() throws {
        for instructionSet in InstructionSet.available where instructionSet != .portable {
            func algorithms(_ accuracy: Accuracy, _ type: ElementType) throws -> [String] {
                try network(instructionSet, accuracy, type).entries(.throughput).map(\.algorithm)
            }
            let pooled = "fused max-pool"
            #expect(
                try algorithms(.standard, .float16) == [
                    "F(4x4, 5x5)", pooled, "F(8x8, 5x5, i)", pooled, "F(4x4, 5x5)", "direct 7x7", "max-pool",
                    "linear F16", "linear F16",
                ])
            #expect(try algorithms(.fast, .bfloat16)[2] == "F(8x8, 5x5)")
            #expect(try algorithms(.exact, .float32)[2] == "direct 5x5")
        }
    }

    @Test(
        .enabled(if: canCount, "optimised builds on jemalloc only"), arguments: InstructionSet.available, [1, 2, 3])
    func aWarmPassAllocatesNothing(_ instructionSet: InstructionSet, members: Int) throws {
        let crew = try Crew(count: members, startThread: startThread)
        let allocated = AllocatedByMembers(members: members)
        #expect(crew.take())
        defer { crew.release() }
        for (accuracy, type) in [
            (Accuracy.standard, ElementType.float16), (.standard, .float32), (.fast, .bfloat16), (.exact, .float32),
        ] {
            let network = try network(instructionSet, accuracy, type)
            let embedder = try Embedder(network: network, maximumBatch: 5, members: members)
            for count in [1, 5] {
                let patches = RandomPatches(Self.everyStep.input, count: count, seed: 1)
                for pooling in Pooling.allCases {
                    let selection = select(network, pooling)
                    patches.withPixels { pixels in
                        for pass in -1..<10 {
                            if pass == 0 { crew.run(allocated) }
                            _ = embedder.embed(pixels, selection, crew: members > 1 ? crew : nil)
                        }
                        crew.run(allocated)
                    }
                    #expect(
                        allocated.bytes.allSatisfy { $0 == 0 },
                        "\(accuracy), \(type), \(count), \(pooling): \(Array(allocated.bytes)) bytes")
                }
            }
        }
    }

    /// Larger images, which the network runs over in its fully convolutional form.
    @Test(.enabled(if: canCount, "optimised builds on jemalloc only"), arguments: InstructionSet.available)
    func aWarmPassOverAnImageAllocatesNothing(_ instructionSet: InstructionSet) throws {
        let network = try network(instructionSet, .standard, .float16).resized(height: 50, width: 41)
        let embedder = try Embedder(network: network, maximumBatch: 1)
        var shape = Self.everyStep.input
        (shape.height, shape.width) = (50, 41)
        let selection = select(network, .max)
        let bytes = RandomPatches(shape, count: 1, seed: 2).withPixels { pixels in
            _ = embedder.embed(pixels, selection)
            let before = AllocatorStatistics.bytesAllocatedByThread() ?? 0
            for _ in 0..<3 { _ = embedder.embed(pixels, selection) }
            return (AllocatorStatistics.bytesAllocatedByThread() ?? 1) - before
        }
        #expect(bytes == 0)
    }
}
