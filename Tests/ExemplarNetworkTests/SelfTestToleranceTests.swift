import ExemplarNetwork
import Safetensors
import TestSupport
import Testing

/// How far from its golden vectors a network may be: 2e-5 of a layer's RMS, and 2e-3 where it is to be fast.
@Suite struct SelfTestToleranceTests {
    private static let oracle = Oracle.random(
        .sequence(
            [
                .convolution("conv1", 8, kernel: 5, padding: 2), .maxPool("pool1", kernel: 2, stride: 2),
                .convolution("conv2", 8, kernel: 3, padding: 1), .linear("fc", 10),
            ], height: 16, width: 16, channels: 3), seed: 29)

    /// A model whose golden outputs of `layer` are all `error` of themselves too large.
    private static func model(off layer: String, by error: Double) throws -> TemporaryModel {
        let model = try TemporaryModel(oracle)
        let golden = try SafetensorsFile(path: model.path + "/golden.safetensors")
        var writer = SafetensorsWriter()
        for (name, tensor) in golden.tensors.sorted(by: { $0.key < $1.key }) {
            if name == layer {
                let values = try #require(golden.floats(of: tensor))
                try writer.add(name, shape: tensor.shape, values.map { Float(Double($0) * (1 + error)) })
            } else {
                try writer.add(name, tensor.type, shape: tensor.shape, bytes: Array(golden.bytes(of: tensor)))
            }
        }
        try model.write("golden.safetensors", writer.bytes)
        return model
    }

    @Test(arguments: [(Accuracy.exact, 2e-5), (.standard, 2e-5), (.fast, 2e-3)], ["conv1", "pool1", "conv2", "fc"])
    func aLayerJustBeyondTheToleranceIsRefusedByName(_ limit: (accuracy: Accuracy, error: Double), _ layer: String)
        throws
    {
        let options = ModelOptions(accuracy: limit.accuracy)
        // The network's own error, some 1e-7 of a layer, and of the fast algorithms some 1e-6, is no part of a tenth.
        let near = try Self.model(off: layer, by: 0.9 * limit.error)
        let description = try Model.load(folder: near.path, options: options).description
        #expect(description.selfTest == "passed")
        let error = try #require(description.selfTestError)
        #expect(error > 0.8 * limit.error && error < limit.error, "\(error)")

        let far = try Self.model(off: layer, by: 1.1 * limit.error)
        let refusal = #expect(throws: ModelError.self) { try Model.load(folder: far.path, options: options) }
        let text = refusal?.description ?? ""
        #expect(text.contains("self-test failed: \(layer) differs from golden.safetensors by "), "\(text)")
        #expect(text.contains("more than \(limit.error)."), "\(text)")
    }
}
