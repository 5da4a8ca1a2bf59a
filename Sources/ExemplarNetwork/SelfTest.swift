import KernelInterface
import Safetensors

/// Whether a loaded network reproduces the outputs that were computed in float64 when it was exported.
///
/// A wrong kernel, a wrong packing or damaged weights show here, before the first request.
enum SelfTest {
    /// The relative RMS error that is still rounding: a few hundred times float32's unit for the exact and the standard
    /// algorithms; the fast ones trade accuracy for speed.
    static func tolerance(_ accuracy: Accuracy) -> Double {
        accuracy == .fast ? 2e-3 : 2e-5
    }

    /// - Parameter memory: what the maps of its batches are taken from.
    /// - Returns: the largest relative RMS error of a layer, 0 where the file has no outputs.
    /// - Throws: `ModelError` naming the layer that is off and by how much, or what is wrong with the file.
    static func run(
        _ network: Network, golden: SafetensorsFile, input: NetworkConfiguration.PatchShape, accuracy: Accuracy,
        memory: (any MemorySource)? = nil
    ) throws(ModelError) -> Double {
        guard let patches = golden.tensors["patches"], patches.type == .uint8, patches.shape.count == 4,
            Array(patches.shape[1...]) == [input.height, input.width, input.channels], patches.shape[0] > 0
        else {
            throw ModelError(
                "golden.safetensors must have `patches`, U8 of shape [n, \(input.height), \(input.width), "
                    + "\(input.channels)]")
        }
        let count = patches.shape[0]
        let embedder = try Embedder(network: network, maximumBatch: min(count, 16), from: memory)
        var largest = 0.0
        for name in golden.tensors.keys.sorted() where name != "patches" {
            guard let index = network.layers.firstIndex(where: { $0.configuration.name == name }) else {
                throw ModelError("golden.safetensors has outputs of \(name), which is no layer of config.json")
            }
            let layer = network.layers[index]
            let shapes = [
                [count, layer.output.channels, layer.output.height, layer.output.width], [count, layer.output.count],
            ]
            guard let tensor = golden.tensors[name], tensor.type == .float32, shapes.contains(tensor.shape),
                let reference = golden.floats(of: tensor)
            else { throw ModelError("golden.safetensors: \(name) must be F32 of shape \(shapes[0])") }
            let error = relativeError(
                embedder, LayerSelection(indices: [index]), golden.bytes(of: patches), input, reference: reference)
            // Written so that NaN fails.
            guard error <= tolerance(accuracy) else {
                throw ModelError(
                    "The self-test failed: \(name) differs from golden.safetensors by \(error) of its RMS, more than "
                        + "\(tolerance(accuracy)). The weights are damaged or belong to another file, or the kernels "
                        + "for \(network.kernels.instructionSet.rawValue) are wrong on this CPU: try --isa portable.")
            }
            largest = max(largest, error)
        }
        return largest
    }

    /// RMS(output − reference) / RMS(reference).
    private static func relativeError(
        _ embedder: Embedder, _ selection: LayerSelection, _ patches: UnsafeRawBufferPointer,
        _ input: NetworkConfiguration.PatchShape, reference: [Float]
    ) -> Double {
        guard let base = patches.baseAddress else { return .nan }
        let pixels = (0..<patches.count / input.count).map {
            EmbedderInput(
                pixels: PatchPixels(address: base + $0 * input.count, format: .uint8), height: input.height,
                width: input.width)
        }
        var difference = 0.0
        var total = 0.0
        var position = 0
        for start in stride(from: 0, to: pixels.count, by: embedder.maximumBatch) {
            let result = pixels[start..<min(start + embedder.maximumBatch, pixels.count)].withUnsafeBufferPointer {
                embedder.embed($0, selection)
            }
            for row in 0..<result.rows {
                for value in result[row] {
                    let expected = Double(reference[position])
                    difference += (Double(value) - expected) * (Double(value) - expected)
                    total += expected * expected
                    position += 1
                }
            }
        }
        return total == 0 ? difference.squareRoot() : (difference / total).squareRoot()
    }
}
