import KernelInterface
import Safetensors
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
                parameters: file, memoryLimit: small)
        }
        #expect(
            weights?.description == "The packed weights of test take 5 MiB, more than the 4 MiB of memory that its "
                + "control group gives this process: load a smaller model, or give it more memory.")

        let network = try Network(oracle, .portable)
        var enough = MemoryLimit(byteCount: 8 << 20, source: .addressSpace)
        let one = try Embedder(network: network, maximumBatch: 1, memoryLimit: enough)
        // In MiB: 62.6 of pixels as floats, 1.3 of outputs and their rows, pooled by quadrant.
        let batch = #expect(throws: ModelError.self) {
            try Embedder(network: network, maximumBatch: 1000, memoryLimit: enough)
        }
        #expect(
            batch?.description.contains("a batch of 1000 inputs of 32 × 32 × 16 take 64 MiB, more than the 8 MiB")
                == true,
            "\(String(describing: batch))")

        // What fits alone may not fit beside others.
        enough.taken = enough.byteCount - one.byteCount
        _ = try Embedder(network: network, maximumBatch: 1, memoryLimit: enough)
        enough.taken += 1
        let another = #expect(throws: ModelError.self) {
            try Embedder(network: network, maximumBatch: 1, memoryLimit: enough)
        }
        #expect(
            another?.description.contains("which with the 8 MiB that are taken already is more than the 8 MiB") == true,
            "\(String(describing: another))")
    }
}
