import Glibc
import JSONRPC
import Safetensors
import TestSupport
import Testing

/// Starting with models that are missing, damaged or ambiguous: status 1 and a sentence that names the file.
@Suite(.waiting) struct ModelLoadingTests {
    /// The log of a server that does not start.
    private func refusal(_ arguments: [String]) throws -> String {
        let server = try ServerProcess(launching: ["serve", "--port", "0", "--threads", "1"] + arguments)
        #expect(try server.waitForExit() == 1, "\(server.log)")
        #expect(!server.log.contains("listening on"))
        return server.log
    }

    @Test func severalModels() throws {
        let (a, b) = (Oracle.tiny(name: "a", seed: 1), Oracle.tiny(name: "b", seed: 2))
        let models = (try TemporaryModel(a), try TemporaryModel(b))
        let folder = try ModelsFolder([("x", models.1), ("y", models.0)])
        let server = try ServerProcess(["--models", folder.path])
        let client = try server.connect()
        #expect(try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"models"}"#).result?["default"] == "a")
        let implicit = try client.ask(a.embedLine())
        let explicit = try client.ask(a.embedLine([1], #","model":"a""#))
        #expect(implicit.result?["model"] == "a")
        #expect(explicit.line == implicit.line)
        #expect(try client.ask(a.embedLine([1], #","model":"b""#)).embeddings != implicit.embeddings)

        let other = try ServerProcess(["--models", folder.path, "--default-model", "b"]).connect()
        #expect(try other.ask(a.embedLine()).result?["model"] == "b")
        #expect(try refusal(["--models", folder.path, "--default-model", "c"]).contains("--default-model c"))
    }

    @Test func twoModelsOfOneName() throws {
        let models = (try TemporaryModel(.tiny(seed: 1)), try TemporaryModel(.tiny(seed: 2)))
        let folder = try ModelsFolder([("x", models.0), ("y", models.1)])
        let log = try refusal(["--models", folder.path])
        #expect(log.contains("both called tiny") && log.contains("/x") && log.contains("/y"), "\(log)")
    }

    @Test func noModelAtAll() throws {
        let folder = try ModelsFolder([])
        #expect(try refusal(["--models", folder.path]).contains("no model to serve"))
        #expect(try refusal(["--models", "/nonexistent/models"]).contains("/nonexistent/models"))
        #expect(try refusal(["--model", "/nonexistent/model"]).contains("/nonexistent/model"))
    }

    /// Left out, it would be a model that is gone; not so what a file system keeps for itself.
    @Test func aFolderThatCannotBeLookedInto() throws {
        let model = try TemporaryModel(.tiny(name: "a"))
        let folder = try ModelsFolder([("a", model)])
        defer { unlink(folder.path + "/lost+found") }
        #expect(symlink("lost+found", folder.path + "/lost+found") == 0)
        let server = try ServerProcess(["--models", folder.path])
        #expect(symlink("b", folder.path + "/b") == 0)
        #expect(try refusal(["--models", folder.path]).contains("/b/config.json: cannot be read"))
        server.send(SIGHUP)
        #expect(try server.waitForLog("the old ones go on").contains("/b/config.json"))
        #expect(unlink(folder.path + "/b") == 0)
    }

    /// Written otherwise it would be another folder, without a model; but nobody minds other files.
    @Test func aFolderWhoseNameIsNoText() throws {
        let model = try TemporaryModel(.tiny())
        let folder = try temporaryFolder()
        let inner = (folder + "/").utf8.map { CChar(bitPattern: $0) } + [-1, 0]
        defer {
            unlink(inner)
            rmdir(folder)
        }
        try #require(symlink("nowhere", inner) == 0)
        #expect(try refusal(["--models", folder]).contains("none of its sub-folders has a config.json"))
        unlink(inner)
        try #require(symlink(model.path, inner) == 0)
        #expect(try refusal(["--models", folder]).contains("a name that is not UTF-8"))
    }

    @Test func aModelThatIsGoneAfterAReloadIsTold() throws {
        let models = (try TemporaryModel(.tiny(name: "a")), try TemporaryModel(.tiny(name: "b")))
        let folder = try ModelsFolder([("a", models.0), ("b", models.1)])
        let server = try ServerProcess(["--models", folder.path])
        #expect(unlink(folder.path + "/b") == 0)
        server.send(SIGHUP)
        try server.waitForLog("b is no longer among the models")
        #expect(try server.connect().isQuiet())
    }

    @Test func damagedFiles() throws {
        let oracle = Oracle.tiny()
        let sound = try TemporaryModel(oracle)
        let weights = try contents(sound.path + "/model.safetensors")
        #expect(weights.count == sound.byteCount(of: "model.safetensors"))
        let configuration = String(decoding: try contents(sound.path + "/config.json"), as: UTF8.self)
        let tooLarge = configuration.replacing(#""kernel": [2, 2]"#, with: #""kernel": [20, 20]"#)
        #expect(tooLarge != configuration)
        var flipped = weights
        flipped[weights.count - 5] ^= 0x40
        for (name, bytes) in [
            ("model.safetensors", Array(weights.prefix(weights.count / 2))),
            ("model.safetensors", Array(weights.dropLast())),
            ("model.safetensors", []), ("model.safetensors", Array(weights.prefix(7))),
            ("model.safetensors", [UInt8](repeating: 0xFF, count: 64)), ("model.safetensors", weights + [0]),
            ("golden.safetensors", [0, 0]), ("config.json", Array("{".utf8)), ("config.json", []),
            // Sound by itself, and no network: nothing is left of the patch for the last layer.
            ("config.json", Array(tooLarge.utf8)),
        ] {
            let model = try TemporaryModel(oracle)
            try model.write(name, bytes)
            let log = try refusal(["--model", model.path])
            #expect(log.contains("\(model.path)/\(name)"), "\(name) of \(bytes.count) bytes: \(log)")
        }
        // A weight that is another: only the golden vectors can tell, and not whether they or the weights are wrong.
        let model = try TemporaryModel(oracle)
        try model.write("model.safetensors", flipped)
        let log = try refusal(["--model", model.path])
        #expect(log.contains("\(model.path): The self-test failed"), "\(log)")
    }

    @Test func withoutGoldenVectors() throws {
        let model = try TemporaryModel(.tiny(), golden: 0)
        let server = try ServerProcess(model: model.path)
        #expect(server.log.contains("no golden.safetensors"))
        #expect(try server.connect().ask(#"{"jsonrpc":"2.0","id":1,"method":"model"}"#).result?["self_test"] == "none")
    }
}

private func contents(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "r") else { throw TestFailure("\(path): \(errno)") }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = fread(&bytes, 1, bytes.count, file)
    return Array(bytes[..<count])
}
