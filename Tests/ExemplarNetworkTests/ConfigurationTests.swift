import Testing
import Transformations

@testable import ExemplarNetwork

@Suite struct ConfigurationTests {
    private static let colourSteps = [
        """
        "contrast": {"mean": [0.5, 0.45, 0.4], "components": [[1, 0, 0], [0, 0.6, -0.8], [0, 0.8, 0.6]],
                     "sigma": [1, 0.75, 0]},
        """,
        "\"color\": {\"power\": [0.25, 4], \"factor\": [0.75, 1.5], \"offset\": [-0.1, 0.2]},",
        "\"hue\": [-0.1, 0.1],",
    ]
    static let good = """
        {"format": "exemplar-network/1", "name": "tiny", "input": {"channels": 3, "height": 8, "width": 8},
         "preprocessing": {"scale": 0.01, "mean": [0, 0, 0], "std": [1, 1, 1]},
         "layers": [{"type": "convolution", "name": "conv1", "out_channels": 4, "kernel": [3, 5], "padding": 1},
                    {"type": "max_pool", "name": "pool1", "kernel": 2, "stride": 2, "rounding": "ceil"},
                    {"type": "linear", "name": "fc", "out_features": 5, "activation": "relu"},
                    {"type": "linear", "name": "head", "out_features": 9}],
         "embedding": "fc", "head": "head", "feature_scales": {"conv1": 0.5},
         "transformations": {"translation": 0.25, "scale": [0.7, 1.4], \(colourSteps.joined())
                             "border": "zero", "rotation_degrees": 20}}
        """

    /// `good` with parts of it replaced.
    private static func edited(_ replacements: (part: String, text: String)...) throws -> String {
        var text = good
        for replacement in replacements {
            text.replaceSubrange(try #require(text.firstRange(of: replacement.part)), with: replacement.text)
        }
        return text
    }

    static func parse(_ text: String) throws -> NetworkConfiguration {
        try Array(text.utf8).withUnsafeBytes { try NetworkConfiguration.parse($0) }
    }

    @Test func everyMemberIsRead() throws {
        let configuration = try Self.parse(Self.good)
        #expect(configuration.layers.map(\.type) == ["convolution", "max_pool", "linear", "linear"])
        #expect(try PlannedLayer.sequence(configuration)[1].output == FeatureShape(channels: 4, height: 4, width: 3))
        #expect(configuration.featureScales == ["conv1": 0.5])
        let contrast = TransformationRanges.Contrast(
            mean: [0.5, 0.45, 0.4], components: [[1, 0, 0], [0, 0.6, -0.8], [0, 0.8, 0.6]], sigma: [1, 0.75, 0])
        let color = TransformationRanges.Color(power: 0.25...4, factor: 0.75...1.5, offset: -0.1...0.2)
        #expect(
            configuration.transformations
                == TransformationRanges(
                    translation: 0.25, scale: 0.7...1.4, rotationDegrees: 20, contrast: contrast, color: color,
                    hue: -0.1...0.1, border: .zero))
        let silent = try Self.parse(Self.edited(("\"border\": \"zero\",", "")))
        #expect(silent.transformations?.border == .reflect)
    }

    @Test func colourStepsAreForThreeChannels() throws {
        func grey(_ steps: String...) throws -> NetworkConfiguration {
            try Self.parse(
                Self.edited(
                    ("\"channels\": 3", "\"channels\": 1"), ("\"mean\": [0, 0, 0]", "\"mean\": [0]"),
                    ("\"std\": [1, 1, 1]", "\"std\": [1]"), (Self.colourSteps.joined(), steps.joined())))
        }
        #expect(try grey().input.channels == 1)
        for step in Self.colourSteps {
            let error = #expect(throws: ModelError.self) { try grey(step) }
            #expect(error?.description.contains("are for networks of 3 channels") == true, "\(step)")
        }
    }

    /// Padding makes maps grow without weights: a linear layer over one of a billion pixels would have a plan as long.
    @Test func aWindowHasABound() throws {
        func layers(_ pools: Int) throws -> [PlannedLayer] {
            let pools = (0..<pools).map {
                LayerConfiguration.maxPool("pool\($0)", kernel: 11, stride: 1, padding: 10)
            }
            return try PlannedLayer.sequence(
                .sequence(pools + [.linear("fc", 1)], height: 512, width: 512, channels: 1))
        }
        // Each pool adds ten to a side: 1,022 and 1,032.
        #expect(try layers(51).last?.window == Extent(1022, 1022))
        let error = #expect(throws: ModelError.self) { try layers(52) }
        #expect(
            error?.description.contains("fc reads 1032 × 1032 pixels, more than 1048576") == true,
            "\(String(describing: error))")
    }

    /// The most weights or outputs are 2³⁰: 2²⁰ channels over 32 × 32.
    @Test(arguments: [
        (LayerConfiguration.linear("fc", 1 << 20), "weights"), (.convolution("conv", 1 << 20, kernel: 1), "outputs"),
    ])
    func aLayerHasABound(_ layer: LayerConfiguration, _ what: String) throws {
        func plan(width: Int) throws -> [PlannedLayer] {
            try PlannedLayer.sequence(.sequence([layer], height: 32, width: width, channels: 1))
        }
        #expect(try plan(width: 32).count == 1)
        let error = #expect(throws: ModelError.self) { try plan(width: 33) }
        #expect(
            error?.description.contains("\(layer.name) has more than 1073741824 \(what)") == true,
            "\(String(describing: error))")
    }

    @Test func aNetworkHasAThousandLayers() throws {
        let pools = (0..<1100).map { #"{"type": "max_pool", "name": "p\#($0)", "kernel": 1, "stride": 1}"# }
        let text = try Self.edited(("\"layers\": [", "\"layers\": [" + pools.joined(separator: ",") + ","))
        let error = #expect(throws: ModelError.self) { try Self.parse(text) }
        #expect(error?.description.contains("1024 are the most") == true, "\(String(describing: error))")
    }

    @Test(arguments: [
        ("exemplar-network/1", "exemplar-network/2", "config.format"),
        ("\"name\": \"tiny\"", "\"name\": \"\"", "config.name"),
        ("\"ceil\"", "\"" + String(repeating: "c", count: 1025) + "\"", "must be a string of at most 1024 bytes"),
        ("\"name\": \"tiny\"", "\"name\": \"a\\nb\"", "config.name"),
        ("\"height\": 8", "\"height\": 7", "config.input.height"),
        ("\"channels\": 3", "\"channels\": 0", "config.input.channels must be a whole number from 1 to 16"),
        ("\"channels\": 3", "\"channels\": 17", "config.input.channels must be a whole number from 1 to 16"),
        ("\"std\": [1, 1, 1]", "\"std\": [1, 0, 1]", "config.preprocessing"),
        ("\"mean\": [0, 0, 0]", "\"mean\": [0, 0]", "config.preprocessing.mean"),
        ("\"mean\": [0, 0, 0]", "\"mean\": [0, -1e39, 0]", "config.preprocessing.mean"),
        ("\"scale\": 0.01", "\"scale\": 1e39", "config.preprocessing.scale"),
        ("\"std\": [1, 1, 1]", "\"std\": [1, 1, 1e-39]", "config.preprocessing leads to values"),
        ("{\"conv1\": 0.5}", "{\"conv1\": 1e39}", "config.feature_scales.conv1"),
        ("\"hue\": [-0.1, 0.1]", "\"hue\": [-0.1, 1e39]", "config.transformations.hue"),
        ("\"out_channels\": 4", "\"out_chanels\": 4", "config.layers[0].out_channels is missing"),
        ("\"padding\": 1", "\"pading\": 1", "config.layers[0].pading is not a key"),
        ("\"padding\": 1", "\"padding\": 3", "config.layers[0].padding must be less"),
        ("\"kernel\": [3, 5]", "\"kernel\": 12", "config.layers[0].kernel"),
        ("\"padding\": 1", "\"stride\": 5", "config.layers[0].stride must be a whole number from 1 to 4"),
        ("\"stride\": 2", "\"stride\": 0", "config.layers[1].stride must be a whole number from 1 to 4"),
        ("\"stride\": 2", "\"stride\": 5", "config.layers[1].stride must be a whole number from 1 to 4"),
        ("\"out_features\": 9", "\"out_features\": 0", "config.layers[3].out_features must be a whole number from 1"),
        ("\"out_features\": 9", "\"out_features\": 1048577", "config.layers[3].out_features must be a whole number"),
        ("\"type\": \"max_pool\"", "\"type\": \"pool\"", "config.layers[1].type is \"pool\"; it must be one of"),
        ("\"ceil\"", "\"up\"", "config.layers[1].rounding"),
        ("\"name\": \"pool1\"", "\"name\": \"conv1\"", "two layers are called conv1"),
        ("\"name\": \"pool1\"", "\"name\": \"all\"", "config.layers[1].name"),
        ("\"embedding\": \"fc\"", "\"embedding\": \"pool1\"", "config.embedding"),
        ("\"embedding\": \"fc\"", "\"embedding\": \"conv1\"", "config.head"),
        ("{\"conv1\": 0.5}", "{\"pool1\": 0.5}", "config.feature_scales.pool1"),
        ("\"scale\": [0.7, 1.4]", "\"scale\": [1.4, 0.7]", "config.transformations.scale"),
        ("\"scale\": [0.7, 1.4]", "\"scale\": [0, 1.4]", "config.transformations.scale must lie above 0"),
        ("\"translation\": 0.25", "\"translation\": -0.1", "config.transformations.translation must lie in 0 … 1"),
        ("\"translation\": 0.25", "\"translation\": 1.1", "config.transformations.translation must lie in 0 … 1"),
        ("\"rotation_degrees\": 20", "\"rotation_degrees\": 181", "rotation_degrees in 0 … 180"),
        ("\"rotation_degrees\": 20", "\"rotation_degrees\": -1", "rotation_degrees in 0 … 180"),
        ("\"sigma\": [1,", "\"sigma\": [-1,", "config.transformations.contrast.sigma must not be negative"),
        ("[[1, 0, 0],", "[", "config.transformations.contrast.components must be three orthonormal rows"),
        ("[[1, 0, 0],", "[[2, 0, 0],", "config.transformations.contrast.components must be three orthonormal rows"),
        ("0.6, -0.8]", "0.6, 0.8]", "config.transformations.contrast.components must be three orthonormal rows"),
        ("\"power\": [0.25,", "\"power\": [-0.25,", "config.transformations.color.power must lie above 0"),
        ("\"factor\": [0.75,", "\"factor\": [0,", "config.transformations.color.factor must lie above 0"),
        ("\"zero\"", "\"black\"", "config.transformations.border is \"black\"; it must be one of"),
        ("\"kernel\": [3, 5]", "\"kernel\": 11", "conv1 leaves nothing"),
        ("\"embedding\"", "\"name\": \"again\", \"embedding\"", "has the key \"name\" twice"),
    ])
    func errorsNameTheKey(_ good: String, _ bad: String, _ problem: String) throws {
        let text = try Self.edited((good, bad))
        let error = #expect(throws: ModelError.self) { try Self.parse(text) }
        #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
    }
}
