import Safetensors

extension NetworkConfiguration {
    /// Channels and features of one layer at most: enough for any head, and products of shapes stay far from overflow.
    static let maximumFeatures = 1 << 20

    /// Reads and validates a `config.json`.
    ///
    /// - Throws: `ModelError`, one sentence that names the key by its path.
    public static func parse(_ bytes: UnsafeRawBufferPointer) throws(ModelError) -> NetworkConfiguration {
        let document: JSONValue
        do {
            document = try JSONValue.parse(bytes)
        } catch {
            throw ModelError("config.json \(error)")
        }
        var root = try ConfigurationObject(document, path: "config")
        guard try root.string("format") == "exemplar-network/1" else {
            throw ModelError("config.format must be \"exemplar-network/1\"")
        }
        let name = try root.string("name")
        guard isModelName(name) else {
            throw ModelError("config.name must have 1 to 128 characters, none of them a control character")
        }
        var input = try root.object("input")
        let shape = PatchShape(
            height: try input.integer("height", PatchShape.sides), width: try input.integer("width", PatchShape.sides),
            channels: try input.integer("channels", PatchShape.channelCounts))
        try input.finish()
        var preprocessing = try root.object("preprocessing")
        let scale = try preprocessing.number("scale")
        let mean = try preprocessing.numbers("mean", count: shape.channels)
        let std = try preprocessing.numbers("std", count: shape.channels)
        try preprocessing.finish()
        guard scale > 0, std.allSatisfy({ $0 > 0 }) else {
            throw ModelError("config.preprocessing.scale and every std must be above 0")
        }
        guard zip(mean, std).allSatisfy({ Float((255 * scale + abs($0)) / $1).isFinite }) else {
            throw ModelError("config.preprocessing leads to values that float32 does not hold: is a std too small?")
        }
        var layers: [LayerConfiguration] = []
        var names: Set<String> = []
        let values = try root.array("layers")
        guard values.count <= maximumLayers else {
            throw ModelError("config.layers has \(values.count) layers; \(maximumLayers) are the most")
        }
        for (index, value) in values.enumerated() {
            var object = try ConfigurationObject(value, path: "config.layers[\(index)]")
            layers.append(try layer(&object))
            try object.finish()
            guard names.insert(layers[index].name).inserted else {
                throw ModelError("config.layers[\(index)].name: two layers are called \(layers[index].name)")
            }
        }
        let embedding = try root.string("embedding")
        let head = try root.optionalString("head")
        try check(embedding: embedding, head: head, layers)
        let scales = try featureScales(root.optionalObject("feature_scales"), layers)
        let transformations = try transformations(root.optionalObject("transformations"), channels: shape.channels)
        try root.finish()
        let configuration = NetworkConfiguration(
            name: name, input: shape, preprocessing: Preprocessing(scale: scale, mean: mean, std: std),
            layers: layers, embedding: embedding, head: head, featureScales: scales, transformations: transformations)
        _ = try PlannedLayer.sequence(configuration)
        return configuration
    }

    /// Of a network: each plan looks at all that live at a time.
    private static let maximumLayers = 1024

    /// Of a model: it is shown, and never a part of anything else.
    private static func isModelName(_ name: String) -> Bool {
        !name.isEmpty && name.unicodeScalars.count <= 128
            && name.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
    }

    /// Of a layer.
    private static func isName(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    private enum LayerType: String, CaseIterable {
        case convolution
        case maxPool = "max_pool"
        case linear
    }

    private static func layer(_ object: inout ConfigurationObject) throws(ModelError) -> LayerConfiguration {
        let type: LayerType = try object.word("type")
        let name = try object.string("name")
        guard isName(name), !["patches", "all", "input"].contains(name) else {
            throw ModelError(
                "\(object.path).name must be made of letters, digits, _ and -, and not be patches, all or input")
        }
        switch type {
        case .convolution:
            let outChannels = try object.integer("out_channels", 1...maximumFeatures)
            let kernel = try object.extent("kernel", 1...11)
            let stride = try object.extent("stride", 1...4, default: 1)
            let padding = try object.extent("padding", 0...10, default: 0)
            try check(padding, kernel, object.path)
            return LayerConfiguration(
                name: name,
                kind: .convolution(
                    outChannels: outChannels, kernel: kernel, stride: stride, padding: padding,
                    activation: try object.word("activation", default: LayerConfiguration.Activation.none)))
        case .maxPool:
            let kernel = try object.extent("kernel", 1...11)
            let stride = try object.extent("stride", 1...4)
            let padding = try object.extent("padding", 0...10, default: 0)
            try check(padding, kernel, object.path)
            return LayerConfiguration(
                name: name,
                kind: .maxPool(
                    kernel: kernel, stride: stride, padding: padding,
                    rounding: try object.word("rounding", default: .floor)))
        case .linear:
            return LayerConfiguration(
                name: name,
                kind: .linear(
                    outFeatures: try object.integer("out_features", 1...maximumFeatures),
                    activation: try object.word("activation", default: LayerConfiguration.Activation.none)))
        }
    }

    private static func check(_ padding: Extent, _ kernel: Extent, _ path: String) throws(ModelError) {
        guard padding.height < kernel.height, padding.width < kernel.width else {
            throw ModelError("\(path).padding must be less than the kernel")
        }
    }

    private static func check(
        embedding: String, head: String?, _ layers: [LayerConfiguration]
    ) throws(ModelError) {
        guard let index = layers.firstIndex(where: { $0.name == embedding }), layers[index].type != "max_pool" else {
            throw ModelError("config.embedding must name a convolution or linear layer")
        }
        guard let head else { return }
        guard let last = layers.last, last.name == head, last.type == "linear", index == layers.count - 2 else {
            throw ModelError("config.head must name the last layer, linear, right after the embedding layer")
        }
    }

    private static func featureScales(
        _ object: ConfigurationObject?, _ layers: [LayerConfiguration]
    ) throws(ModelError) -> [String: Float] {
        guard var object else { return [:] }
        var scales: [String: Float] = [:]
        for (key, value) in object.takeAll() {
            guard layers.contains(where: { $0.name == key && $0.type != "max_pool" }) else {
                throw ModelError("config.feature_scales.\(key) is not a convolution or linear layer")
            }
            guard case .number(let number) = value, Float(number).isFinite else {
                throw ModelError("config.feature_scales.\(key) must be a number that float32 holds")
            }
            scales[key] = Float(number)
        }
        return scales
    }
}
