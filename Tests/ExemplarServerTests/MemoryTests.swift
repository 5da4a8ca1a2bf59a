import CPlatform
import ExemplarNetwork
import FoundationEssentials
import Glibc
import JSONRPC
import TestSupport
import Testing

/// The sum of everything that the server holds stays within its limit: what does not fit is refused by name.
@Suite(.waiting) struct MemoryTests {
    /// What `oracle` takes in a server of two threads.
    private static func size(of model: TemporaryModel) throws -> (weights: Int, workers: Int) {
        let loaded = try Model.load(folder: model.path)
        return (loaded.weightByteCount, try loaded.workersByteCount(maximumBatch: 64))
    }

    private static func refusal(_ arguments: [String], limit: Int) throws -> String {
        let server = try ServerProcess(
            launching: ["serve", "--port", "0", "--threads", "2", "--memory-limit", "\(limit)"] + arguments)
        #expect(try server.waitForExit() == 1, "\(server.log)")
        return server.log
    }

    @Test func everyWorkerCounts() throws {
        let model = try TemporaryModel(.wide())
        let (weights, workers) = try Self.size(of: model)
        let log = try Self.refusal(["--model", model.path], limit: weights + workers - 1)
        #expect(log.contains("that are taken already") && log.contains("fewer --threads"), "\(log)")
        let server = try ServerProcess(model: model.path, ["--memory-limit", "\(weights + workers)"])
        #expect(try server.connect().isQuiet())
    }

    /// Each set of models that was replaced leaves its arenas to the next: what the allocator knows of one it keeps.
    @Test(.enabled(if: !isInstrumented)) func reloadsLeaveNoAddressesBehind() throws {
        let model = try TemporaryModel(.wide())
        let server = try ServerProcess(model: model.path)
        var mapped: [Int] = []
        for reload in 0..<40 {
            server.send(SIGHUP)
            try server.waitForLog("info reloaded", skip: reload)
            mapped.append(try server.mappedBytes())
        }
        // Of single ones each may have a stack more, or a set that is not freed yet.
        let (early, late) = (mapped[..<20].max() ?? 0, mapped[30...].max() ?? 0)
        #expect(late - early < 16 << 20, "\(mapped.map { $0 >> 20 })")
    }

    /// An idle server gives back what a burst took: not under sanitizers, which have an allocator of their own.
    @Test(.enabled(if: !isInstrumented)) func theAllocatorHasAThreadThatGivesPagesBack() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path)
        let tasks = "/proc/\(server.identifier)/task"
        // It is begun before the models are loaded, and names itself when it runs.
        try waitUntil("the allocator has its thread") {
            try FileManager.default.contentsOfDirectory(atPath: tasks).contains { task in
                // A thread that has ended meanwhile is none.
                (try? String(contentsOfFile: "\(tasks)/\(task)/comm", encoding: .utf8))?.hasPrefix("jemalloc_bg_thd")
                    ?? false
            }
        }
    }

    @Test func everyModelCounts() throws {
        let models = (try TemporaryModel(.tiny(name: "a")), try TemporaryModel(.wide()))
        let folder = try ModelsFolder([("a", models.0), ("b", models.1)])
        let sizes = (try Self.size(of: models.0), try Self.size(of: models.1))
        let both = sizes.0.weights + sizes.0.workers + sizes.1.weights + sizes.1.workers
        #expect(try Self.refusal(["--models", folder.path], limit: both - 1).contains("that are taken already"))
        _ = try ServerProcess(["--models", folder.path, "--memory-limit", "\(both)"])
    }

    /// The old and the new set live together for a while: where both do not fit, the old one goes on.
    @Test func aReloadThatDoesNotFit() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let (weights, workers) = try Self.size(of: model)
        let server = try ServerProcess(model: model.path, ["--memory-limit", "\(2 * (weights + workers) - 1)"])
        let client = try server.connect()
        let before = try client.ask(oracle.tinyLine)
        server.send(SIGHUP)
        let complaint = try server.waitForLog("the old ones go on")
        #expect(complaint.contains("that are taken already"), "\(complaint)")
        #expect(try client.ask(oracle.tinyLine).line == before.line)
        let stats = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
        #expect(stats?["reloads"]?["failed"] == 1)
    }

    /// The self-test's maps and its golden vectors are there while it runs, beside the weights: more than workers of
    /// one patch have.
    @Test func theSelfTestCounts() throws {
        let model = try TemporaryModel(.wide(), golden: 16)
        let loaded = try Model.load(folder: model.path)
        let tested = try loaded.makeEmbedder(maximumBatch: 16).byteCount
        #expect(try 2 * loaded.makeEmbedder(maximumBatch: 1, members: 2).byteCount < tested)
        let arguments = ["--model", model.path, "--max-batch", "1"]
        let least = loaded.weightByteCount + model.byteCount(of: "golden.safetensors") + tested
        let log = try Self.refusal(arguments, limit: least - 1)
        #expect(log.contains("Maps for a batch of 16 inputs") && log.contains("--memory-limit"), "\(log)")
        _ = try ServerProcess(arguments + ["--memory-limit", "\(least)"])
    }

    /// New models find no room beside the passes of images that run: refused, and the images are answered.
    @Test func aReloadBesideImages() throws {
        // Images that last for as long as models are loaded, in every build.
        let oracle = Oracle.wide(side: 5)
        let model = try TemporaryModel(oracle)
        let (weights, workers) = try Self.size(of: model)
        let models = weights + workers
        let pass = try Model.load(folder: model.path)
            .embedderByteCount(maximumBatch: 1, height: 120, width: 100, members: 2)
        // Room for the pass, and for a second set of models, and not for both.
        let limit = models + max(models, 2 * pass) + pass / 2
        #expect(2 * models + pass > limit)
        let server = try ServerProcess(
            model: model.path, ["--memory-limit", "\(limit)", "--isa", "portable"])
        let (client, good) = (try server.connect(), try server.connect())
        let before = try good.memory()
        let image = oracle.imageLine(120, 100)
        let expected = try client.ask(image).embeddings
        #expect(expected.count == 1)
        var outcomes = 0
        var refusals = 0
        // Images one behind the other, so that passes go on for as long as the new models are loaded. These may be
        // quicker than the first, or come between two.
        let images = String(repeating: image + "\n", count: 4)
        while outcomes < (isInstrumented ? 1 : 4) || refusals == 0 {
            guard outcomes < 40 else { throw TestFailure("none of \(outcomes) reloads was refused") }
            try client.send(images)
            // While two sets of models live there may be no room for it.
            var byte: UInt8 = 0
            try waitUntil("the image is neither taken nor refused") {
                try good.memory().images > 0
                    || recv(client.descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) > 0
            }
            server.send(SIGHUP)
            let line = try server.waitForLog(of: ["info reloaded", "the old ones go on"], skip: outcomes)
            outcomes += 1
            if line.contains("the old ones go on") {
                #expect(line.contains("that are taken already"), "\(line)")
                refusals += 1
            }
            #expect(try good.memory().total <= limit)
            for _ in 0..<4 {
                let reply = try client.reply()
                if reply.code != -32000 { #expect(reply.embeddings == expected, "\(reply.line)") }
            }
        }
        // Refused or not, nothing stays taken; and without images there is room.
        try good.waitForMemory { $0.models == before.models && $0.requests == 0 }
        server.send(SIGHUP)
        let line = try server.waitForLog(of: ["info reloaded", "the old ones go on"], skip: outcomes)
        #expect(line.contains("info reloaded"), "\(line)")
        try good.waitForMemory { $0.models == before.models }
        #expect(try client.ask(image).embeddings == expected)
    }

    /// Reload after reload gives back what the last one took: the next fits again.
    @Test func whatAReloadReplacesIsGivenBack() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let (weights, workers) = try Self.size(of: model)
        // Requests have their part in what is left over.
        let limit = 2 * (weights + workers) + (1 << 20)
        let server = try ServerProcess(model: model.path, ["--memory-limit", "\(limit)"])
        let client = try server.connect()
        var outcomes = 0
        for _ in 0..<5 {
            // While two sets live an image may find no room.
            let image = try client.ask(oracle.imageLine(32, 40))
            #expect(image.embeddings.count == 1 || image.code == -32000, "\(image.line)")
            // The one before is freed by a thread of its own, soon: a refusal until then is right.
            try waitUntil("never given back:\n\(server.log)") {
                server.send(SIGHUP)
                let line = try server.waitForLog(of: ["info reloaded", "the old ones go on"], skip: outcomes)
                outcomes += 1
                return line.contains("info reloaded")
            }
        }
        try waitUntil("never given back:\n\(server.log)") { try client.ask(oracle.imageLine(32, 40)).code == nil }
    }

    @Test func anImageWhoseMapsNeverFit() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let (weights, workers) = try Self.size(of: model)
        let loaded = try Model.load(folder: model.path)
        let large = try loaded.embedderByteCount(maximumBatch: 1, height: 96, width: 96, members: 2)
        // Passes have half of what is left over.
        let limit = weights + workers + 2 * large - 8
        let server = try ServerProcess(model: model.path, ["--memory-limit", "\(limit)"])
        let client = try server.connect()
        let refused = try client.ask(oracle.imageLine(96, 96))
        #expect(refused.code == -32602 && refused.parameter == "shape", "\(refused.line)")
        #expect(refused.message.contains("maps of an input of 96 x 96"), "\(refused.line)")
        #expect(try client.ask(oracle.imageLine(64, 64)).embeddings.count == 1)
        let roomy = try ServerProcess(model: model.path, ["--memory-limit", "\(limit + 16)"])
        #expect(try roomy.connect().ask(oracle.imageLine(96, 96)).embeddings.count == 1)
    }

    /// A server that rests holds no memory for images, whoever is still connected.
    @Test func whatAnImageTookIsGivenBack() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let client = try server.connect()
        func allocated() throws -> Int? {
            // Longer than the figures are kept.
            usleep(120_000)
            let stats = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
            return int(stats?["allocator"]?["allocated"])
        }
        // Sanitizers have their own allocator, without figures.
        guard let before = try allocated() else { return }
        #expect(try client.ask(oracle.imageLine(400, 400)).embeddings.count == 1)
        let loaded = try Model.load(folder: model.path)
        let size = try loaded.embedderByteCount(maximumBatch: 1, height: 400, width: 400, members: 2)
        #expect(try #require(try allocated()) - before > size / 2, "it is kept for the next image")
        try waitUntil("never given back") { try #require(try allocated()) - before < size / 2 }
    }

    /// Room for one pass at a time: whoever comes second waits, and embedders kept for another size make way.
    @Test func passesWaitForOneAnother() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let (weights, workers) = try Self.size(of: model)
        let loaded = try Model.load(folder: model.path)
        let large = try loaded.embedderByteCount(maximumBatch: 1, height: 96, width: 96, members: 2)
        let server = try ServerProcess(
            model: model.path, ["--memory-limit", "\(weights + workers + 2 * large + 8)"])
        let clients = try (0..<4).map { _ in try server.connect() }
        let sizes = [(96, 96), (95, 96), (90, 96), (60, 90)]
        let count = 6
        for (client, size) in zip(clients, sizes) {
            for _ in 0..<count { try client.send(line: oracle.imageLine(size.0, size.1)) }
        }
        for client in clients {
            for _ in 0..<count {
                let reply = try client.reply()
                #expect(reply.embeddings.count == 1, "\(reply.line)")
            }
        }
    }
}

extension Oracle {
    fileprivate var tinyLine: String { embedLine([3]) }
}

extension Model {
    /// What the maps of a server's two workers take: one embedder has room for what its crew shares.
    func workersByteCount(maximumBatch: Int) throws -> Int {
        try makeEmbedder(maximumBatch: maximumBatch, members: 2).byteCount
            + makeEmbedder(maximumBatch: maximumBatch).byteCount
    }
}
