import Glibc
import KernelInterface
import Platform
import Safetensors
import Tensors
import TestSupport
import Testing

@testable import ExemplarNetwork

/// Whether this build is optimised: only then is the condition of an assertion never looked at.
let isOptimized: Bool = {
    var isOptimized = true
    assert(
        {
            isOptimized = false
            return true
        }())
    return isOptimized
}()

/// Model folders through the public door: what loads, what is refused and with which words.
@Suite struct ModelTests {
    static var oracle: Oracle {
        var configuration = NetworkConfiguration.sequence(
            [
                .convolution("conv1", 6, kernel: 7, stride: 2, padding: 3),
                .maxPool("pool1", kernel: 3, stride: 2, rounding: .ceil), .linear("fc", 10), .linear("head", 4, .none),
            ], height: 17, width: 12, channels: 1)
        configuration.embedding = "fc"
        configuration.head = "head"
        return .random(configuration, seed: 3)
    }

    @Test(arguments: InstructionSet.available)
    func aFolderLoadsAndPassesItsSelfTest(_ instructionSet: InstructionSet) throws {
        let folder = try TemporaryModel(Self.oracle)
        let model = try Model.load(folder: folder.path, options: ModelOptions(instructionSet: instructionSet))
        #expect(model.configuration == Self.oracle.configuration)
        let description = model.description
        #expect(description.selfTest == "passed")
        #expect(description.dimension == 10)
        #expect(description.exemplars == 4)
        #expect(description.instructionSet == instructionSet)
        #expect(description.layers.map(\.shape) == [[6, 9, 6], [6, 4, 3], [10], [4]])
        #expect(description.sha256.count == 64)
    }

    @Test func theChecksumIsSHA256() {
        // FIPS 180-2, appendix B.1.
        let digest = Array("abc".utf8).withUnsafeBytes { ModelFolder.sha256(of: $0) }
        #expect(digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test func aMissingTensorIsNamedWithItsShape() throws {
        let folder = try TemporaryModel(Self.oracle, golden: 0)
        var writer = SafetensorsWriter()
        try writer.add("conv1.weight", shape: [1], [1])
        try folder.write("model.safetensors", writer.bytes)
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        #expect(error?.description.contains("conv1.bias of shape [6] is missing") == true)
    }

    @Test func layersAreSelectedByNameInTheNetworksOrder() throws {
        let folder = try TemporaryModel(Self.oracle, golden: 0)
        let model = try Model.load(folder: folder.path)
        #expect(model.description.selfTest == "none")
        #expect(model.names(of: model.embeddingOnly) == ["fc"])
        #expect(model.names(of: model.allLayers) == ["conv1", "fc"])
        let selection = try #require(model.selection(of: ["head", "conv1", "head"]))
        #expect(model.names(of: selection) == ["conv1", "head"])
        #expect(model.dimension(of: selection) == 6 * 9 * 6 + 4)
        #expect(model.selection(of: ["pool1"]) == nil)
        #expect(model.selection(of: ["nothing"]) == nil)
        #expect(model.selection(of: []) == nil)
    }

    @Test(arguments: ["fc", "conv1"], InstructionSet.available)
    func weightsInHalfPrecisionAreReadExactly(_ half: String, _ instructionSet: InstructionSet) throws {
        // Weights that both 16-bit types hold: the oracle's own, cut to seven bits of fraction, and not subnormal.
        var oracle = Self.oracle
        for (name, values) in oracle.parameters {
            oracle.parameters[name] = values.map { value in
                abs(value) < 0x1p-14 ? 0 : Double(Float(bitPattern: Float(value).bitPattern & 0xFFFF_0000))
            }
        }
        let folder = try TemporaryModel(oracle) { writer, name, shape, values in
            let isHalf = name.hasPrefix(half)
            let bytes = values.flatMap { value -> [UInt8] in
                let bits = value.bitPattern
                let half: UInt32
                if value == 0 {
                    half = 0
                } else {
                    half = (bits >> 16 & 0x8000) | ((bits >> 23 & 0xFF) - 112) << 10 | (bits >> 13 & 0x3FF)
                }
                let stored = UInt16(truncatingIfNeeded: isHalf ? half : bits >> 16)
                return [UInt8(stored & 0xFF), UInt8(stored >> 8)]
            }
            try writer.add(name, isHalf ? .float16 : .bfloat16, shape: shape, bytes: bytes)
        }
        let model = try Model.load(folder: folder.path, options: ModelOptions(instructionSet: instructionSet))
        #expect(model.description.selfTest == "passed")
    }

    @Test func weightsThatAreIntegersAreNamed() throws {
        let folder = try TemporaryModel(Self.oracle, golden: 0) { writer, name, shape, values in
            guard name == "fc.bias" else { return try writer.add(name, shape: shape, values) }
            try writer.add(name, .int16, shape: shape, bytes: [UInt8](repeating: 0, count: 2 * values.count))
        }
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        #expect(
            error?.description.contains("the tensor fc.bias holds I16; weights must be F32, F16 or BF16") == true,
            "\(String(describing: error))")
    }

    /// With golden vectors the self-test would refuse them too.
    @Test(arguments: ["conv1.weight", "conv1.bias", "fc.weight", "head.bias"], [Float.nan, .infinity, -.infinity])
    func weightsThatAreNotFiniteAreNamed(_ tensor: String, _ value: Float) throws {
        let folder = try TemporaryModel(Self.oracle, golden: 0) { writer, name, shape, values in
            try writer.add(name, shape: shape, name == tensor ? values.dropLast() + [value] : values)
        }
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        let problem = "\(folder.path)/model.safetensors: the tensor \(tensor) holds values that are no finite numbers"
        #expect(error?.description.hasPrefix(problem) == true, "\(String(describing: error))")
    }

    /// The sum of nine at the point 1, over 2², is more than one of them.
    @Test func weightsWhoseTransformsOverflowAreNamed() throws {
        var oracle = Oracle.random(
            .sequence([.convolution("conv1", 3, kernel: 3)], height: 8, width: 8, channels: 1), seed: 4)
        oracle.parameters["conv1.weight"] = oracle.parameters["conv1.weight"]?.map { _ in 3e38 }
        let error = #expect(throws: ModelError.self) { try Network(oracle, .portable) { _, _ in .f2k3 } }
        #expect(
            error?.description.contains("The tensor conv1.weight of test has values so large") == true,
            "\(String(describing: error))")
    }

    /// Each weight is finite, and so are the outputs of black patches: only a bright one shows it, in the second layer.
    @Test func weightsWhoseProductsOverflowAreNamedWithoutGoldenVectors() throws {
        var oracle = Oracle.random(
            .sequence([.linear("fc1", 2), .linear("fc2", 1)], height: 8, width: 8, channels: 1), seed: 6)
        for name in ["fc1", "fc2"] {
            oracle.parameters[name + ".weight"] = oracle.parameters[name + ".weight"]?.map { _ in 1e25 }
            oracle.parameters[name + ".bias"] = oracle.parameters[name + ".bias"]?.map { _ in 0 }
        }
        let folder = try TemporaryModel(oracle, golden: 0)
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        let text = error?.description ?? ""
        #expect(text.hasPrefix("\(folder.path): ") && text.contains("the outputs of fc2 for a white patch"), "\(text)")
    }

    /// Outputs that are pooled over quadrants are scaled, and would be nulls.
    @Test func featureScalesThatOverflowAreNamed() throws {
        var oracle = Self.oracle
        oracle.configuration.featureScales = ["fc": 1e38]
        oracle.parameters["fc.weight"] = oracle.parameters["fc.weight"]?.map { $0 * 1e4 }
        let folder = try TemporaryModel(oracle, golden: 0)
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        let text = error?.description ?? ""
        #expect(text.contains("feature_scales are so large that the outputs of fc for a"), "\(text)")
        oracle.configuration.featureScales = ["fc": 1]
        let sound = try TemporaryModel(oracle, golden: 0)
        #expect(throws: Never.self) { try Model.load(folder: sound.path) }
    }

    /// As where a layer before that is right.
    @Test func goldenOutputsOfSomeLayersAreNotEnough() throws {
        let folder = try TemporaryModel(Self.oracle, golden: 1) { writer, name, shape, values in
            try writer.add(name, shape: shape, name == "fc.weight" ? values.map { $0 < 0 ? -3e38 : 3e38 } : values)
        }
        let whole = try SafetensorsFile(path: folder.path + "/golden.safetensors")
        var writer = SafetensorsWriter()
        for name in ["patches", "conv1"] {
            let tensor = try #require(whole.tensors[name])
            try writer.add(name, tensor.type, shape: tensor.shape, bytes: Array(whole.bytes(of: tensor)))
        }
        try folder.write("golden.safetensors", writer.bytes)
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        #expect(error?.description.contains("the outputs of fc for a") == true, "\(String(describing: error))")
    }

    /// A sparse file of more bytes than there are numbers for them and for what its header says.
    @Test func aFileOfTheLargestSizeIsRefused() throws {
        let folder = try TemporaryModel(Self.oracle, golden: 0)
        let path = "/dev/shm/exemplar-largest-\(getpid())"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        defer {
            close(file)
            unlink(path)
        }
        // Not every file system has files so large.
        guard file >= 0, ftruncate(file, .max) == 0 else { return }
        #expect(pwrite(file, [0, 0, 0x20, 0, 1, 0, 0, 0] as [UInt8], 8, 0) == 8)
        unlink(folder.path + "/model.safetensors")
        #expect(symlink(path, folder.path + "/model.safetensors") == 0)
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        #expect(error?.description.contains("more than the") == true, "\(String(describing: error))")
    }

    @Test func otherWeightsThanTheGoldenOnesAreFound() throws {
        let folder = try TemporaryModel(Self.oracle)
        var changed = Self.oracle
        changed.parameters["fc.bias"] = changed.parameters["fc.bias"]?.map { $0 + 0.01 }
        let other = try TemporaryModel(changed, golden: 0)
        let weights = try SafetensorsFile(path: other.path + "/model.safetensors")
        try folder.write("model.safetensors", Array(weights.bytes))
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        #expect(error?.description.contains("self-test failed: fc differs") == true, "\(String(describing: error))")
    }

    @Test func damagedFoldersAreRefusedByName() throws {
        func refusal(_ damage: (TemporaryModel) throws -> Void) throws -> String {
            let folder = try TemporaryModel(Self.oracle)
            try damage(folder)
            let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
            return error?.description ?? ""
        }
        #expect(try refusal { try $0.write("config.json", Array("{".utf8)) }.contains("config.json"))
        let truncated = try refusal { folder in
            let file = try SafetensorsFile(path: folder.path + "/model.safetensors")
            try folder.write("model.safetensors", Array(file.bytes.dropLast(5)))
        }
        #expect(truncated.contains("model.safetensors") && truncated.contains("truncated"))
        var extra = SafetensorsWriter()
        try extra.add("x", shape: [1], [1])
        #expect(try refusal { try $0.write("golden.safetensors", extra.bytes) }.contains("`patches`"))
        #expect(throws: ModelError.self) { try Model.load(folder: "/nowhere") }
        // Beside the most that is read, which loads.
        let folder = try TemporaryModel(Self.oracle)
        var configuration = try #require(fileBytes(folder.path + "/config.json", limit: 1 << 20))
        configuration += [UInt8](repeating: UInt8(ascii: " "), count: 1 << 20 - configuration.count)
        try folder.write("config.json", configuration)
        #expect(try Model.load(folder: folder.path).configuration == Self.oracle.configuration)
        let long = try refusal { try $0.write("config.json", configuration + [UInt8(ascii: " ")]) }
        #expect(long.contains("config.json: is longer than 1048576 bytes"), "\(long)")
        // A link that leads nowhere is no missing file.
        for name in ["golden.safetensors", "labels.txt"] {
            let dangling = try refusal { folder in
                unlink(folder.path + "/" + name)
                #expect(symlink("nowhere", folder.path + "/" + name) == 0)
            }
            #expect(dangling.contains(name) && dangling.contains("cannot be "), "\(dangling)")
        }
        // A pipe is no file, and is not waited for.
        for name in ["config.json", "model.safetensors", "golden.safetensors", "labels.txt"] {
            let pipe = try refusal { folder in
                unlink(folder.path + "/" + name)
                #expect(mkfifo(folder.path + "/" + name, 0o600) == 0)
            }
            #expect(pipe.contains("\(name): is not a regular file"), "\(pipe)")
        }
    }

    @Test func metadataAreShownAsFarAsTheyAreShort() throws {
        let folder = try TemporaryModel(Self.oracle, golden: 0) { writer, name, shape, values in
            writer.metadata = ["aaa": String(repeating: "a", count: 65_536), "trained_on": "six \"photographs\""]
            try writer.add(name, shape: shape, values)
        }
        #expect(try Model.load(folder: folder.path).description.metadata == ["trained_on": "six \"photographs\""])
    }

    /// A golden file that has one patch and no outputs yet.
    private static func goldenPatch() throws -> SafetensorsWriter {
        let input = oracle.configuration.input
        var writer = SafetensorsWriter()
        try writer.add(
            "patches", .uint8, shape: [1, input.height, input.width, input.channels],
            bytes: [UInt8](repeating: 7, count: input.count))
        return writer
    }

    /// Inputs without outputs show nothing.
    @Test func goldenPatchesAloneAreNoSelfTest() throws {
        let folder = try TemporaryModel(Self.oracle, golden: 0)
        let writer = try Self.goldenPatch()
        try folder.write("golden.safetensors", writer.bytes)
        let description = try Model.load(folder: folder.path).description
        #expect(description.selfTest == "none" && description.selfTestError == nil)
    }

    @Test(arguments: [
        ("nothing", ElementType.float32, [1, 10], "has outputs of nothing, which is no layer of config.json"),
        ("fc", .int32, [1, 10], "fc must be F32 of shape [1, 10, 1, 1]"),
        ("fc", .float32, [10, 1], "fc must be F32 of shape [1, 10, 1, 1]"),
    ])
    func goldenOutputsAreThoseOfALayer(_ name: String, _ type: ElementType, _ shape: [Int], _ problem: String) throws {
        let folder = try TemporaryModel(Self.oracle, golden: 0)
        var writer = try Self.goldenPatch()
        try writer.add(name, type, shape: shape, bytes: [UInt8](repeating: 0, count: 40))
        try folder.write("golden.safetensors", writer.bytes)
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
    }

    @Test func anExtraTensorAndAWrongShapeAreNamed() throws {
        let extra = try TemporaryModel(Self.oracle) { writer, name, shape, values in
            try writer.add(name, shape: shape, values)
            if name == "fc.bias" { try writer.add("fc.running_mean", shape: [1], [0]) }
        }
        let error = #expect(throws: ModelError.self) { try Model.load(folder: extra.path) }
        #expect(error?.description.contains("fc.running_mean of shape [1] belongs to no layer") == true)
        let flat = try TemporaryModel(Self.oracle) { writer, name, shape, values in
            try writer.add(name, shape: [values.count], values)
        }
        let shape = #expect(throws: ModelError.self) { try Model.load(folder: flat.path) }
        #expect(shape?.description.contains("conv1.weight has the shape [294]") == true, "\(String(describing: shape))")
    }
}
