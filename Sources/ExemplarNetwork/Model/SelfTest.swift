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
    /// - Returns: the largest relative RMS error of a layer; nil where the file has no outputs.
    /// - Throws: `ModelError` naming the layer that is off and by how much, or what is wrong with the file.
    static func run(
        _ network: Network, golden: SafetensorsFile, input: NetworkConfiguration.PatchShape, accuracy: Accuracy,
        memory: (any MemorySource)? = nil
    ) throws(ModelError) -> Double? {
        guard let patches = golden.tensors["patches"], patches.type == .uint8, patches.shape.count == 4,
            Array(patches.shape[1...]) == [input.height, input.width, input.channels], patches.shape[0] > 0
        else {
            throw ModelError(
                "golden.safetensors must have `patches`, U8 of shape [n, \(input.height), \(input.width), "
                    + "\(input.channels)]")
        }
        let count = patches.shape[0]
        let embedder = try Embedder(network: network, maximumBatch: min(count, 16), from: memory)
        var largest: Double?
        for name in golden.tensors.keys.sorted() where name != "patches" {
            guard let index = network.layers.firstIndex(where: { $0.configuration.name == name }) else {
                throw ModelError("golden.safetensors has outputs of \(name), which is no layer of config.json")
            }
            let layer = network.layers[index]
            let shapes = [
                [count, layer.output.channels, layer.output.height, layer.output.width], [count, layer.output.count],
            ]
            guard let tensor = golden.tensors[name], tensor.type == .float32, shapes.contains(tensor.shape) else {
                throw ModelError("golden.safetensors: \(name) must be F32 of shape \(shapes[0])")
            }
            let error = relativeError(
                embedder, LayerSelection(indices: [index]), golden.bytes(of: patches), input, golden, reference: tensor)
            // Written so that NaN fails.
            guard error <= tolerance(accuracy) else {
                throw ModelError(
                    "The self-test failed: \(name) differs from golden.safetensors by \(error) of its RMS, more than "
                        + "\(tolerance(accuracy)). The weights are damaged or belong to another file; or the kernels "
                        + "for \(network.kernels.instructionSet.rawValue) are wrong on this CPU: try --isa portable; "
                        + "or the network, of very few channels, rounds worse than most: try --accuracy exact.")
            }
            largest = max(largest ?? 0, error)
        }
        return largest
    }

    /// Whether outputs are numbers at all. Weights may be finite and so large that sums of their products are not, and
    /// every reply would be nulls.
    ///
    /// - Throws: `ModelError` naming the first layer whose outputs for a black, a white or a noisy patch are not
    ///   finite.
    static func checkFinite(_ network: Network, memory: (any MemorySource)? = nil) throws(ModelError) {
        let embedder = try Embedder(network: network, maximumBatch: 1, from: memory)
        let shape = embedder.inputShape
        let layers = network.layers.indices.filter { network.layers[$0].isSelectable }
        // Knuth's multiplicative hash: each pixel from its place alone.
        let patches: [(name: String, pixel: (Int) -> UInt8)] = [
            ("black", { _ in 0 }), ("white", { _ in 255 }),
            ("noisy", { UInt8((UInt32(truncatingIfNeeded: $0) &* 2_654_435_761) >> 24) }),
        ]
        for patch in patches {
            let infinite = (0..<shape.count).map(patch.pixel).withUnsafeBytes { pixels -> Int? in
                guard let base = pixels.baseAddress else { return nil }
                let input = EmbedderInput(
                    pixels: PatchPixels(address: base, format: .uint8), height: shape.height, width: shape.width)
                let row = withUnsafePointer(to: input) { input in
                    embedder.embed(UnsafeBufferPointer(start: input, count: 1), LayerSelection(indices: layers))[0]
                }
                var start = 0
                return layers.first { index in
                    defer { start += network.layers[index].output.count }
                    // Pooled over quadrants they are scaled.
                    return !row[start..<start + network.layers[index].output.count].allSatisfy {
                        $0.isFinite && ($0 * network.featureScales[index]).isFinite
                    }
                }
            }
            guard let infinite else { continue }
            throw ModelError(
                "The weights or feature_scales are so large that the outputs of "
                    + "\(network.layers[infinite].configuration.name) for a \(patch.name) patch are no finite numbers: "
                    + "the file is damaged, or its preprocessing is not that of config.json.")
        }
    }

    /// Values of the reference that are read at a time.
    private static let readCount = 1024

    /// RMS(output − reference) / RMS(reference).
    ///
    /// Inputs and references are brought out of the file piece by piece: its own memory alone was asked for.
    private static func relativeError(
        _ embedder: Embedder, _ selection: LayerSelection, _ patches: UnsafeRawBufferPointer,
        _ input: NetworkConfiguration.PatchShape, _ golden: SafetensorsFile, reference: SafetensorsFile.Tensor
    ) -> Double {
        guard let base = patches.baseAddress else { return .nan }
        let count = patches.count / input.count
        var inputs: [EmbedderInput] = []
        inputs.reserveCapacity(embedder.maximumBatch)
        var difference = 0.0
        var total = 0.0
        for start in stride(from: 0, to: count, by: embedder.maximumBatch) {
            inputs.removeAll(keepingCapacity: true)
            for patch in start..<min(start + embedder.maximumBatch, count) {
                let pixels = PatchPixels(address: base + patch * input.count, format: .uint8)
                inputs.append(EmbedderInput(pixels: pixels, height: input.height, width: input.width))
            }
            let result = inputs.withUnsafeBufferPointer { embedder.embed($0, selection) }
            withUnsafeTemporaryAllocation(of: Float.self, capacity: readCount) { expected in
                guard let address = expected.baseAddress else { return }
                for row in 0..<result.rows {
                    let values = result[row]
                    let first = (start + row) * values.count
                    for position in stride(from: 0, to: values.count, by: readCount) {
                        let end = min(position + readCount, values.count)
                        _ = golden.read(first + position..<first + end, of: reference, into: address)
                        for index in position..<end {
                            let expected = Double(address[index - position])
                            difference += (Double(values[index]) - expected) * (Double(values[index]) - expected)
                            total += expected * expected
                        }
                    }
                }
            }
        }
        // A layer whose reference is 0 everywhere must give 0 everywhere.
        return total == 0 ? (difference == 0 ? 0 : .infinity) : (difference / total).squareRoot()
    }
}
