import ExemplarNetwork
import ExemplarServer
import Glibc
import Images
import JSONRPC
import TestSupport
import Testing

@testable import exemplar

/// `exemplar embed` and `exemplar model` with `--model`: whole command lines on files, against the oracle.
@Suite struct LocalEmbeddingTests {
    /// A network with sides and channels that are no multiple of anything.
    static func oracle(channels: Int) -> Oracle {
        let configuration = NetworkConfiguration(
            name: "odd", input: .init(height: 11, width: 9, channels: channels),
            preprocessing: .init(
                scale: 1.0 / 255, mean: Array(repeating: 0.4, count: channels),
                std: Array(repeating: 0.3, count: channels)),
            layers: [
                LayerConfiguration(
                    name: "conv1",
                    kind: .convolution(
                        outChannels: 5, kernel: Extent(3, 3), stride: Extent(2, 2), padding: Extent(1, 1),
                        activation: .relu)),
                LayerConfiguration(
                    name: "pool1",
                    kind: .maxPool(kernel: Extent(2, 2), stride: Extent(2, 2), padding: Extent(0, 0), rounding: .ceil)),
                LayerConfiguration(name: "fc", kind: .linear(outFeatures: 7, activation: .none)),
            ], embedding: "fc")
        return .random(configuration, seed: 12)
    }

    /// A photograph of seeded noise.
    static func photograph(height: Int, width: Int, _ channels: Raster.Channels = .rgb, seed: UInt64) throws -> Raster {
        var random = SeededGenerator(seed: seed)
        let pixels = (0..<height * width * channels.count).map { _ in UInt8.random(in: 0...255, using: &random) }
        return try #require(Raster(height: height, width: width, channels: channels, pixels: pixels))
    }

    /// What the oracle says of one patch.
    static func reference(_ oracle: Oracle, _ raster: Raster, x: Int, y: Int, layer: String = "fc") throws -> [Double] {
        let input = oracle.configuration.input
        let patch = try #require(raster.crop(x: x, y: y, height: input.height, width: input.width))
        return try #require(oracle.outputs(for: patch.pixels.map(Double.init))[layer]).values
    }

    /// The rows of a NumPy file whose header says what it must.
    static func rows(_ file: String, rows: Int, columns: Int) throws -> [Float] {
        let bytes = try contents(file)
        let header = Array("'shape': (\(rows), \(columns))".utf8)
        #expect(bytes.prefix(128).indices.contains { bytes[$0...].starts(with: header) })
        return bytes.suffix(rows * columns * 4).withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map {
                Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
            }
        }
    }

    @Test func patchesOfSeveralPhotographs() throws {
        let oracle = Self.oracle(channels: 3)
        let model = try TemporaryModel(oracle)
        let folder = try TemporaryFolder()
        let photographs = [
            try Self.photograph(height: 30, width: 41, seed: 1), try Self.photograph(height: 19, width: 23, seed: 2),
        ]
        for (index, photograph) in photographs.enumerated() {
            try folder.write("\(index).png", try photograph.png())
        }
        // 24 patches: more than go through the network at once.
        let positions = (0..<12).map { (x: $0, y: 8 - $0 / 2) }
        let files = ["0.png", "1.png"].map { "\(folder.path)/\($0)" }
        let chosen = positions.flatMap { ["--patch", "\($0.x),\($0.y)"] }
        let status = Exemplar.run(
            ["embed"] + files + ["--model", model.path, "-o", folder.path + "/rows.npy"] + chosen, environment: [:])
        #expect(status == 0)
        let reference = try photographs.flatMap { photograph in
            try positions.flatMap { try Self.reference(oracle, photograph, x: $0.x, y: $0.y) }
        }
        let rows = try Self.rows(folder.path + "/rows.npy", rows: 24, columns: 7)
        #expect(relativeRMS(rows, reference) < Accuracy.standard.tolerance)
    }

    @Test func aColourPhotographForAGreyNetwork() throws {
        let oracle = Self.oracle(channels: 1)
        let model = try TemporaryModel(oracle)
        let folder = try TemporaryFolder()
        let photograph = try Self.photograph(height: 11, width: 9, seed: 3)
        try folder.write("patch.png", try photograph.png())
        let status = Exemplar.run(
            [
                "embed", folder.path + "/patch.png", "--model", model.path, "--layers", "fc,conv1", "-o",
                folder.path + "/rows.npy",
            ], environment: [:])
        #expect(status == 0)
        let reference =
            try Self.reference(oracle, photograph.grey(), x: 0, y: 0, layer: "conv1")
            + Self.reference(oracle, photograph.grey(), x: 0, y: 0)
        let rows = try Self.rows(folder.path + "/rows.npy", rows: 1, columns: reference.count)
        #expect(relativeRMS(rows, reference) < Accuracy.standard.tolerance)
    }

    @Test func modelDescribesAFolder() throws {
        let model = try TemporaryModel(Self.oracle(channels: 3))
        let description = try LocalNetwork(folder: model.path).network.description.json
        #expect(description["name"] == "odd")
        #expect(description["self_test"] == "passed")
        #expect(description["patch_shape"] == [11, 9, 3])
        #expect(Exemplar.run(["model", "--model", model.path], environment: [:]) == 0)
        let plan = ["model", "--model", model.path, "--plan", "--optimize", "latency"]
        #expect(Exemplar.run(plan, environment: [:]) == 0)
        #expect(Exemplar.run(plan + ["--json"], environment: [:]) == 0)
        // A server does not tell its plan.
        #expect(Exemplar.run(["model", "--plan"], environment: [:]) == 64)
    }

    @Test func errorsNameTheFile() throws {
        let folder = try TemporaryFolder()
        let png = try Self.photograph(height: 11, width: 9, seed: 4).png()
        try folder.write("cut.png", Array(png.dropLast(20)))
        try folder.write("text.png", Array("not an image".utf8))
        try folder.write("empty", [])
        for (name, expected) in [
            ("cut.png", "cut.png: The PNG cannot be decoded ("), ("text.png", "text.png: The image is none of PNG"),
            ("empty", "empty: The image is none of"), ("missing.png", "missing.png cannot be read: No such file"),
            (".", ". cannot be read: Is a directory"),
        ] {
            let error = #expect(throws: CommandError.self) {
                try Photograph(file: folder.path + "/" + name, channels: 3)
            }
            #expect(error?.message.contains(expected) == true, "\(error?.message ?? "")")
            #expect(error?.status == 1)
        }
        let error = #expect(throws: CommandError.self) { try Photograph(file: folder.path + "/cut.png", channels: 2) }
        #expect(error?.message.hasPrefix("The network reads patches of 2 channels") == true)
    }

    @Test func aModelThatIsNoneIsExplained() {
        let error = #expect(throws: CommandError.self) { try LocalNetwork(folder: "/nonexistent/model") }
        #expect(error?.message.contains("A model is a folder with config.json") == true)
        #expect(Exemplar.run(["model", "--model", "/nonexistent/model"], environment: [:]) == 1)
    }
}
