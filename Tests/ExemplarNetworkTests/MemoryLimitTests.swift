import KernelInterface
import Platform
import Safetensors
import Synchronization
import Tensors
import TestSupport
import Testing

@testable import ExemplarNetwork

@Suite struct MemoryLimitTests {
    @Test(arguments: [
        ("536870912\n", 536_870_912), ("max\n", nil), ("9223372036854771712\n", nil), ("0", 0), ("", nil),
        ("-1\n", nil), ("99999999999999999999999\n", nil), ("512M", nil),
    ])
    func limitsAreReadAsTheKernelWritesThem(_ text: String, _ limit: Int?) {
        #expect(MemoryLimit.limit(text) == limit)
    }

    /// A limit of a group holds for all groups in it, whatever theirs are.
    @Test func limitsUpToTheRootHold() throws {
        let tree = try FileTree([
            "a/memory.max": "300000000\n", "a/b/memory.max": "max\n", "c/memory.max": "7\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/a/memory.limit_in_bytes": "500000000\n",
        ])
        func limits(_ text: String) -> [Int] {
            MemoryLimit.limits(of: ControlGroups(text, root: tree.path)).map(\.byteCount)
        }
        #expect(limits("0::/a/b\n") == [300_000_000])
        #expect(limits("9:memory:/a\n0::/\n") == [500_000_000])
        #expect(limits("9:memory:/a/d\n0::/a/b\n") == [300_000_000, 500_000_000])
        #expect(limits("9:cpu:/a\n0::/d\n").isEmpty)
        let limit = MemoryLimit.limits(of: ControlGroups("0::/c\n", root: tree.path)).first
        #expect(limit?.source == .controlGroup)
    }

    @Test func thisProcessHasALimit() {
        let limit = MemoryLimit.current()
        #expect(limit.byteCount > 1 << 20 && limit.byteCount < Int.max)
    }

    @Test func whatDoesNotFitIsRefusedWithBothSizes() throws {
        let configuration = NetworkConfiguration.sequence([.linear("fc", 64)], height: 32, width: 32, channels: 16)
        let oracle = Oracle.random(configuration, seed: 71)
        // 64 × 16,384 weights and 64 biases.
        let small = MemoryLimit(byteCount: 4 << 20, source: .controlGroup)
        var writer = SafetensorsWriter()
        for (name, values) in oracle.parameters {
            try writer.add(name, shape: [values.count], values.map { Float($0) })
        }
        let file = try SafetensorsFile(bytes: writer.bytes, name: "memory")
        let kernels = try #require(KernelTable.table(for: .portable))
        let layers = try PlannedLayer.sequence(configuration)
        let weights = #expect(throws: ModelError.self) {
            try Network(
                configuration: configuration, layers: layers, kernels: kernels, algorithm: { _, _ in nil },
                parameters: file, memory: small)
        }
        #expect(
            weights?.description == "The packed weights of test take 5 MiB, more than the 4 MiB of memory that its "
                + "control group gives this process: load a smaller model, or give it more memory.")

        let network = try Network(oracle, .portable)
        var enough = MemoryLimit(byteCount: 8 << 20, source: .addressSpace)
        let one = try Embedder(network: network, maximumBatch: 1, from: enough)
        // In MiB: 62.6 of pixels as floats, 1.3 of outputs and their rows, pooled by quadrant.
        let batch = #expect(throws: ModelError.self) {
            try Embedder(network: network, maximumBatch: 1000, from: enough)
        }
        #expect(
            batch?.description.contains("a batch of 1000 inputs of 32 × 32 × 16 take 64 MiB, more than the 8 MiB")
                == true,
            "\(String(describing: batch))")

        // What fits alone may not fit beside others.
        enough.taken = enough.byteCount - one.byteCount
        _ = try Embedder(network: network, maximumBatch: 1, from: enough)
        enough.taken += 1
        let another = #expect(throws: ModelError.self) {
            try Embedder(network: network, maximumBatch: 1, from: enough)
        }
        #expect(
            another?.description.contains("which with the 8 MiB that are taken already is more than the 8 MiB") == true,
            "\(String(describing: another))")
    }

    /// Counts what is taken and given back; refuses what goes beyond its limit.
    private final class CountedMemory: MemorySource {
        private let taken = Atomic<Int>(0)
        private let asked = Atomic<Int>(0)
        let limit: Int

        init(limit: Int = .max) { self.limit = limit }

        final class Share: Sendable {
            let source: CountedMemory
            let byteCount: Int

            init(_ source: CountedMemory, _ byteCount: Int) { (self.source, self.byteCount) = (source, byteCount) }

            deinit { source.taken.subtract(byteCount, ordering: .relaxed) }
        }

        var takenByteCount: Int { taken.load(ordering: .relaxed) }
        /// The most that was ever taken at once.
        var most: Int { asked.load(ordering: .relaxed) }

        func take(_ byteCount: Int, for subject: String, advice: String) throws(ModelError) -> (any MemoryShare)? {
            guard byteCount <= limit - takenByteCount else { throw ModelError("\(subject) are too much: \(advice)") }
            let now = taken.add(byteCount, ordering: .relaxed).newValue
            asked.max(now, ordering: .relaxed)
            return Share(self, byteCount)
        }
    }

    @Test func whatAModelTakesIsCountedForAsLongAsItLives() throws {
        let oracle = Oracle.random(.sequence([.linear("fc", 8)], height: 8, width: 8, channels: 3), seed: 72)
        let folder = try TemporaryModel(oracle, golden: 16)
        let memory = CountedMemory()
        let file = folder.byteCount(of: "model.safetensors")
        let golden = folder.byteCount(of: "golden.safetensors")
        do {
            let model = try Model.load(folder: folder.path, memory: memory)
            let weights = model.weightByteCount
            #expect(memory.takenByteCount == weights)
            let tested = try model.makeEmbedder(maximumBatch: 16).byteCount
            try #require(golden + tested > file, "what comes first hides nothing")
            #expect(memory.most == weights + golden + tested, "the self-test counts while it runs, with its vectors")
            let embedder = try model.makeEmbedder(maximumBatch: 3, memory: memory)
            #expect(memory.takenByteCount == weights + embedder.byteCount)
            do {
                let image = try model.makeEmbedder(maximumBatch: 1, height: 9, width: 9, memory: memory)
                #expect(memory.takenByteCount == weights + embedder.byteCount + image.byteCount)
            }
            #expect(memory.takenByteCount == weights + embedder.byteCount)
            withExtendedLifetime(embedder) {}
            // One byte less than the self-test needs: nothing stays taken.
            let less = CountedMemory(limit: weights + golden + tested - 1)
            let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path, memory: less) }
            #expect(
                error?.description.contains("Maps for a batch of 16 inputs") == true, "\(String(describing: error))")
            #expect(less.takenByteCount == 0 && less.most == weights + max(file, golden))
            // Nor where the weights find no room beside their file, or the file none.
            let least = CountedMemory(limit: weights + file - 1)
            let refusal = #expect(throws: ModelError.self) { try Model.load(folder: folder.path, memory: least) }
            #expect(
                refusal?.description.contains("The packed weights of test") == true, "\(String(describing: refusal))")
            let none = CountedMemory(limit: file - 1)
            let first = #expect(throws: ModelError.self) { try Model.load(folder: folder.path, memory: none) }
            #expect(
                first?.description.contains("\(folder.path)/model.safetensors") == true, "\(String(describing: first))")
            #expect(least.takenByteCount == 0 && none.most == 0)
        }
        #expect(memory.takenByteCount == 0)
        // A self-test that fails gives everything back.
        let other = try TemporaryModel(oracle) { try $0.add($1, shape: $2, $3.map { $0 + 1 }) }
        #expect(throws: ModelError.self) { try Model.load(folder: other.path, memory: memory) }
        #expect(memory.takenByteCount == 0)
    }

    /// A header of a size to matter counts twice: its texts are copied.
    @Test func aLargeHeaderIsCounted() throws {
        let folder = try TemporaryModel(ModelTests.oracle, golden: 0) { writer, name, shape, values in
            writer.metadata = ["text": String(repeating: "t", count: 2 << 20)]
            try writer.add(name, shape: shape, values)
        }
        let memory = CountedMemory()
        _ = try Model.load(folder: folder.path, memory: memory)
        #expect(memory.most >= folder.byteCount(of: "model.safetensors") + 2 << 20)
    }

    /// Of a golden file only its own bytes are asked for, however many patches it has.
    @Test(.enabled(if: AllocatorStatistics.current() != nil, "on jemalloc only"))
    func theSelfTestTakesNoMoreForMorePatches() throws {
        let configuration = NetworkConfiguration.sequence(
            [.convolution("conv", 32, kernel: 3)], height: 18, width: 18, channels: 1)
        let oracle = Oracle.random(configuration, seed: 73)
        let network = try Network(oracle, .portable)
        func allocated(patches: Int) throws -> UInt64 {
            let folder = try TemporaryModel(oracle, golden: patches)
            let golden = try SafetensorsFile(path: folder.path + "/golden.safetensors")
            let before = AllocatorStatistics.bytesAllocatedByThread() ?? 0
            let error = try SelfTest.run(network, golden: golden, input: configuration.input, accuracy: .standard)
            #expect(try #require(error) < SelfTest.tolerance(.standard))
            return (AllocatorStatistics.bytesAllocatedByThread() ?? 0) - before
        }
        let (few, many) = (try allocated(patches: 16), try allocated(patches: 64))
        let reference = 48 * 32 * 16 * 16 * MemoryLayout<Float>.stride
        #expect(many < few + UInt64(reference) / 2, "\(few) bytes for 16 patches, \(many) for 64")
    }
}
