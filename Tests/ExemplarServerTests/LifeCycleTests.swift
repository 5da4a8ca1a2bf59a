import CPlatform
import ExemplarNetwork
import Glibc
import JSONRPC
import TestSupport
import Testing
import Transformations

/// Signals: draining, ending at once, loading again.
@Suite(.waiting) struct LifeCycleTests {
    static func call(_ method: String) -> String { #"{"jsonrpc":"2.0","id":"\#(method)","method":"\#(method)"}"# }

    @Test func anIdleServerEndsAtOnce() throws {
        let model = try TemporaryModel(.tiny())
        for signal in [SIGTERM, SIGINT] {
            let server = try ServerProcess(model: model.path, ["--drain-timeout", "600"])
            let idle = try server.connect()
            #expect(try idle.isQuiet())
            server.send(signal)
            #expect(try server.waitForExit() == 0)
            #expect(server.log.contains("drained"))
            #expect(try idle.readLine() == nil)
        }
    }

    /// Requests that were admitted before the signal are answered; the ones after it are told that the server drains.
    @Test(arguments: [(0, 1), (5, 1), (0, 3)])
    func drainingLosesNoAdmittedRequest(_ delay: UInt32, loops: Int) throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(
            model: model.path, ["--drain-timeout", "600", "--queue", "100000", "--event-loops", "\(loops)"])
        let clients = try (0..<4).map { _ in try server.connect() }
        let count = isInstrumented ? 25 : 100
        let writers = clients.map { client in
            LineWriter(client, (0..<count).map { oracle.embedLine(id: "\($0)", [UInt64($0)]) })
        }
        // Every connection has work in the queue by now.
        var answered = try clients.map { try [$0.reply()] }
        usleep(delay * 1000)
        server.send(SIGTERM)
        let drainage = try server.waitForLog("draining after SIGTERM requests=")
        let unanswered = try #require(drainage.split(separator: "=").last.flatMap { Int($0) })
        for (index, client) in clients.enumerated() {
            while let line = try client.readLine() { answered[index].append(try TestReply(line)) }
        }
        #expect(try server.waitForExit() == 0)
        #expect(server.log.contains("drained"))
        for writer in writers { writer.join() }
        for replies in answered {
            let ids = replies.compactMap { int($0.id) }
            #expect(Set(ids).count == ids.count, "each is answered once")
            #expect(replies.allSatisfy { $0.embeddings.count == 1 || $0.code == -32001 })
            // Lines are read in order and one connection's work is done in order: what was computed is a prefix.
            let computed = Set(replies.filter { $0.code == nil }.compactMap { int($0.id) })
            #expect(computed == Set(0..<computed.count), "an admitted request is lost")
        }
        // Those that were read before the signal are none of those that were in flight then.
        let computed = answered.joined().count { $0.code == nil }
        #expect(computed >= unanswered + clients.count, "\(unanswered) were in flight, of which some are lost")
    }

    /// A server that owes a reply to a client that does not read.
    private func owing(_ model: TemporaryModel, _ oracle: Oracle, _ arguments: [String]) throws -> (
        ServerProcess, LineSocket
    ) {
        let server = try ServerProcess(model: model.path, arguments + ["--write-timeout", "600"])
        let client = try server.connect(receiveBuffer: 4096)
        // Some 20 MB: more than the kernel takes.
        try client.send(line: oracle.embedLine(Array(0..<32), #","layers":["conv1"],"encoding":"float""#))
        var byte: UInt8 = 0
        guard recv(client.descriptor, &byte, 1, Int32(MSG_PEEK)) == 1 else { throw TestFailure("no reply") }
        return (server, client)
    }

    @Test func whileDraining() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let (server, client) = try owing(model, oracle, ["--drain-timeout", "600"])
        server.send(SIGTERM)
        try server.waitForLog("draining after SIGTERM")
        #expect(throws: TestFailure.self, "nobody may connect any more") { try server.connect() }
        for method in ["ready", "live", "model", "stats"] { try client.send(line: Self.call(method)) }
        try client.send(line: oracle.embedLine(id: "\"embed\""))
        // SIGHUP has no effect now.
        server.send(SIGHUP)
        let large = try client.reply()
        #expect(large.embeddings.count == 32)
        var codes: [String: Int] = [:]
        while let line = try client.readLine() {
            let reply = try TestReply(line)
            codes[string(reply.id) ?? ""] = reply.code ?? 0
            if reply.id == "ready" { #expect(reply.data?["reason"] == "draining") }
        }
        #expect(codes == ["ready": -32005, "live": 0, "model": -32001, "stats": 0, "embed": -32001])
        #expect(try server.waitForExit() == 0)
    }

    @Test func aSecondSignalEndsItAtOnce() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let (server, client) = try owing(model, oracle, ["--drain-timeout", "600"])
        server.send(SIGTERM)
        try server.waitForLog("draining after SIGTERM")
        server.send(SIGTERM)
        #expect(try server.waitForExit() == 1)
        #expect(server.log.contains("ended by a second SIGTERM"))
        withExtendedLifetime(client) {}
    }

    @Test func theDrainTimeout() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let (server, client) = try owing(model, oracle, ["--drain-timeout", "0.2"])
        server.send(SIGTERM)
        #expect(try server.waitForExit() == 1)
        #expect(server.log.contains("the drain timeout is over"))
        withExtendedLifetime(client) {}
    }

    /// Who is owed nothing and stays connected costs no exit status, however short the time-out.
    @Test(arguments: ["0", "0.2", "5"]) func anIdleClientLosesNothing(timeout: String) throws {
        let oracle = Oracle.tiny()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--drain-timeout", timeout])
        let clients = try (0..<3).map { _ in try server.connect() }
        for client in clients { #expect(try client.ask(oracle.embedLine()).embeddings.count == 1) }
        server.send(SIGTERM)
        for client in clients { #expect(try client.readLine() == nil) }
        #expect(try server.waitForExit() == 0, "\(server.log)")
    }

    /// The kernel has a reply that the client has not taken, and the client, which knows of no signal, asks for more.
    @Test func aReplyOnItsWayOutlivesALaterRequest() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        for _ in 0..<20 { if try replyOutlivesALaterRequest(oracle, model) { return } }
        throw TestFailure("this machine never gets as far in time")
    }

    /// False where the test was too late to show anything: the server waits for half a second for what its clients have
    /// still to say.
    private func replyOutlivesALaterRequest(_ oracle: Oracle, _ model: TemporaryModel) throws -> Bool {
        let server = try ServerProcess(model: model.path)
        let client = try server.connect(receiveBuffer: 4096)
        try client.send(line: oracle.embedLine([1], #","layers":["conv1"]"#))
        let other = try server.connect()
        try waitUntil("no reply") {
            let stats = try other.ask(Self.call("stats")).result
            return stats?["patches"] == 1 && stats?["queue"]?["in_flight"] == 0
        }
        let start = ContinuousClock.now
        server.send(SIGTERM)
        try server.waitForLog("draining after SIGTERM")
        usleep(200_000)
        client.trySend(Array((Self.call("ready") + "\n").utf8))
        guard start.duration(to: .now) < .milliseconds(400) else { return false }
        #expect(try client.reply().embeddings.count == 1)
        client.finishSending()
        #expect(try server.waitForExit() == 0)
        return true
    }

    @Test func whileLoading() throws {
        let model = try TemporaryModel(.tiny())
        let folder = try temporaryFolder()
        defer { rmdir(folder) }
        let configuration = try HeldFile(model.path + "/config.json")
        let path = folder + "/socket"
        let server = try ServerProcess(launching: ["serve", "--port", "0", "--model", model.path, "--unix", path])
        try configuration.waitUntilAwaited()
        let client = try LineSocket(unixPath: path)
        #expect(try client.isQuiet())
        let ready = try client.ask(Self.call("ready"))
        #expect(ready.code == -32005 && ready.data?["reason"] == "loading")
        #expect(try client.ask(Self.call("model")).code == -32005)
        #expect(try client.ask(Oracle.tiny().embedLine()).code == -32005)
        #expect(try client.ask(Self.call("stats")).code == nil)
        server.send(SIGTERM)
        #expect(try server.waitForExit() == 0)
        #expect(!server.log.contains("listening on"))
    }

    @Test func signalsDuringLoad() throws {
        let oracle = Oracle.tiny()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let client = try server.connect()
        let count = 400
        let writer = LineWriter(client, (0..<count).map { oracle.embedLine(id: "\($0)", [UInt64($0) % 8]) })
        var rows: [Int: String] = [:]
        for index in 0..<count {
            if index % 20 == 0 { server.send(index % 40 == 0 ? SIGHUP : SIGPIPE) }
            let reply = try client.reply()
            guard let id = int(reply.id), let row = reply.embeddings.first.flatMap(string) else {
                throw TestFailure(reply.line)
            }
            #expect(rows.updateValue(row, forKey: id) == nil)
        }
        writer.join()
        // A reload of the same model changes no bit.
        for (id, row) in rows { #expect(row == rows[id % 8]) }
        try server.waitForLog("info reloaded")
    }

    @Test func reloading() throws {
        let first = try TemporaryModel(.tiny(seed: 5))
        let second = try TemporaryModel(.tiny(seed: 6))
        let corrupt = try TemporaryModel(.tiny(seed: 7))
        try corrupt.write("model.safetensors", [1, 2, 3])
        let folder = try ModelsFolder([("m", first)])
        let server = try ServerProcess(["--models", folder.path])
        let client = try server.connect()
        let line = Oracle.tiny().embedLine()
        let before = try client.ask(line).line

        try folder.replace("m", with: second)
        server.send(SIGHUP)
        try server.waitForLog("info reloaded")
        let after = try client.ask(line).line
        #expect(after != before)

        try folder.replace("m", with: corrupt)
        server.send(SIGHUP)
        let complaint = try server.waitForLog("the old ones go on")
        #expect(complaint.contains("model.safetensors"))
        #expect(try client.ask(line).line == after)
        #expect(try client.ask(Self.call("ready")).code == nil)

        // A name that is gone is gone; a name that is new is there.
        let renamed = try TemporaryModel(.tiny(name: "other", seed: 5))
        try folder.replace("m", with: renamed)
        server.send(SIGHUP)
        try server.waitForLog("info reloaded", skip: 1)
        let other = try client.ask(line)
        #expect(other.result?["model"] == "other")
        #expect(other.embeddings == (try TestReply(before)).embeddings)
        let gone = try client.ask(Oracle.tiny().embedLine([1], #","model":"tiny""#))
        #expect(gone.code == -32003)
    }

    /// Where two sets of models fit and three do not: the second reload begins once the first models are in no use.
    @Test func aReloadWaitsForTheModelsThatTheLastOneReplaced() throws {
        let oracle = Oracle.wide(
            transformations: TransformationRanges(
                translation: 0.1, scale: 0.9...1.1, rotationDegrees: 10, contrast: nil, color: nil, hue: nil,
                border: .reflect))
        let model = try TemporaryModel(oracle)
        let loaded = try Model.load(folder: model.path)
        let byteCount = try loaded.weightByteCount + loaded.workersByteCount(maximumBatch: 64)
        let server = try ServerProcess(
            model: model.path,
            ["--memory-limit", "\(byteCount * 5 / 2)", "--read-timeout", "600", "--queue", "1000000"])
        // Work for as long as its client waits for it.
        var client: LineSocket? = try server.connect()
        try client?.send(line: oracle.embedLine([1], #","transform":{"mode":"mean","samples":20000,"seed":1}"#))
        let other = try server.connect()
        func isInUse() throws -> Bool {
            try other.ask(Self.call("stats")).result?["queue"]?["in_flight"] == 1
        }
        try waitUntil("it is not admitted", isInUse)
        server.send(SIGHUP)
        try server.waitForLog(of: ["info reloaded", "not reloaded"])
        #expect(try isInUse())
        server.send(SIGHUP)
        try server.waitForLog("info reloading", skip: 1)
        for _ in 0..<64 { #expect(try isInUse()) }
        #expect(server.log.split(separator: "info reloaded").count == 2, "\(server.log)")
        // A reset alone tells of the end of a client.
        client?.resetOnClose()
        client = nil
        try server.waitForLog(of: ["info reloaded", "not reloaded"], skip: 1)
        #expect(!server.log.contains("not reloaded"), "\(server.log)")
    }
}
