import ExemplarNetwork
import Glibc
import Safetensors
import Transformations

/// A model folder on disk, made from an oracle; removed when the last reference goes.
public final class TemporaryModel {
    public let path: String

    /// Writes `config.json`, `model.safetensors` and, for `golden` seeded patches, `golden.safetensors`.
    ///
    /// - Parameter weights: how a parameter tensor of a layer is stored.
    public init(
        _ oracle: Oracle, golden: Int = 2,
        weights: (inout SafetensorsWriter, String, [Int], [Float]) throws -> Void = { try $0.add($1, shape: $2, $3) }
    ) throws {
        var template = Array("/tmp/exemplar-model-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw ModelError("no temporary folder: \(errno)") }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        try write("config.json", Array(oracle.configuration.json.utf8))

        var writer = SafetensorsWriter()
        let input = oracle.configuration.input
        var map = Oracle.Map(channels: input.channels, height: input.height, width: input.width)
        for layer in oracle.configuration.layers {
            let output = Oracle.shape(of: layer, over: map)
            let shape: [Int]? =
                switch layer.kind {
                case .convolution(let outChannels, let kernel, _, _, _):
                    [outChannels, map.channels, kernel.height, kernel.width]
                case .linear(let outFeatures, _): [outFeatures, map.channels * map.height * map.width]
                case .maxPool: nil
                }
            if let shape {
                for (tensor, shape) in [(layer.name + ".weight", shape), (layer.name + ".bias", [shape[0]])] {
                    try weights(&writer, tensor, shape, (oracle.parameters[tensor] ?? []).map { Float($0) })
                }
            }
            map = output
        }
        try write("model.safetensors", writer.bytes)
        if golden > 0 { try writeGolden(oracle, count: golden) }
    }

    private func writeGolden(_ oracle: Oracle, count: Int) throws {
        var random = SeededGenerator(seed: 17)
        let input = oracle.configuration.input
        let patches = (0..<count * input.count).map { _ in UInt8.random(in: 0...255, using: &random) }
        let outputs = (0..<count).map { index in
            oracle.outputs(for: patches[index * input.count..<(index + 1) * input.count].map(Double.init))
        }
        var writer = SafetensorsWriter()
        try writer.add(
            "patches", .uint8, shape: [count, input.height, input.width, input.channels], bytes: patches)
        for layer in oracle.configuration.layers {
            guard let map = outputs[0][layer.name] else { continue }
            let shape = layer.type == "linear" ? [count, map.channels] : [count, map.channels, map.height, map.width]
            try writer.add(
                layer.name, shape: shape, outputs.flatMap { ($0[layer.name]?.values ?? []).map { Float($0) } })
        }
        try write("golden.safetensors", writer.bytes)
    }

    /// Replaces one of the folder's files.
    public func write(_ name: String, _ bytes: [UInt8]) throws {
        let file = open(path + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        guard file >= 0 else { throw ModelError("\(path)/\(name): \(errno)") }
        defer { close(file) }
        guard Glibc.write(file, bytes, bytes.count) == bytes.count else { throw ModelError("\(name): \(errno)") }
    }

    /// The size of one of the folder's files; 0 where there is none.
    public func byteCount(of name: String) -> Int {
        var status = stat()
        return stat(path + "/" + name, &status) == 0 ? Int(status.st_size) : 0
    }

    deinit {
        for name in ["config.json", "model.safetensors", "golden.safetensors", "exemplars.safetensors", "labels.txt"] {
            unlink(path + "/" + name)
        }
        rmdir(path)
    }
}

extension NetworkConfiguration {
    /// This configuration as `config.json` has it.
    var json: String {
        func pair(_ extent: Extent) -> String { "[\(extent.height), \(extent.width)]" }
        let layers = layers.map { layer in
            let members =
                switch layer.kind {
                case .convolution(let outChannels, let kernel, let stride, let padding, let activation):
                    "\"out_channels\": \(outChannels), \"kernel\": \(pair(kernel)), \"stride\": \(pair(stride)), "
                        + "\"padding\": \(pair(padding)), \"activation\": \"\(activation.rawValue)\""
                case .maxPool(let kernel, let stride, let padding, let rounding):
                    "\"kernel\": \(pair(kernel)), \"stride\": \(pair(stride)), \"padding\": \(pair(padding)), "
                        + "\"rounding\": \"\(rounding.rawValue)\""
                case .linear(let outFeatures, let activation):
                    "\"out_features\": \(outFeatures), \"activation\": \"\(activation.rawValue)\""
                }
            return "{\"type\": \"\(layer.type)\", \"name\": \"\(layer.name)\", \(members)}"
        }
        let scales = featureScales.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }
        return """
            {"format": "exemplar-network/1", "name": "\(name)",
             "input": {"channels": \(input.channels), "height": \(input.height), "width": \(input.width)},
             "preprocessing": {
               "scale": \(preprocessing.scale), "mean": \(preprocessing.mean), "std": \(preprocessing.std)
             },
             "layers": [\(layers.joined(separator: ",\n  "))],
             \(head.map { "\"head\": \"\($0)\"," } ?? "")
             "feature_scales": {\(scales.joined(separator: ", "))},
             \(transformations.map { "\"transformations\": \($0.json)," } ?? "") "embedding": "\(embedding)"}
            """
    }
}

extension TransformationRanges {
    /// As `config.json` has them.
    fileprivate var json: String {
        func pair(_ range: ClosedRange<Double>) -> String { "[\(range.lowerBound), \(range.upperBound)]" }
        var members = [
            "\"translation\": \(translation)", "\"scale\": \(pair(scale))", "\"rotation_degrees\": \(rotationDegrees)",
            "\"border\": \"\(border.rawValue)\"",
        ]
        if let contrast {
            members.append(
                "\"contrast\": {\"mean\": \(contrast.mean), \"components\": \(contrast.components), "
                    + "\"sigma\": \(contrast.sigma)}")
        }
        if let color {
            members.append(
                "\"color\": {\"power\": \(pair(color.power)), \"factor\": \(pair(color.factor)), "
                    + "\"offset\": \(pair(color.offset))}")
        }
        if let hue { members.append("\"hue\": \(pair(hue))") }
        return "{\(members.joined(separator: ", "))}"
    }
}
