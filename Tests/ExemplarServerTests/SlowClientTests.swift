import CPlatform
import Glibc
import JSONRPC
import TestSupport
import Testing

/// Clients that take their time, and servers that stood still: who gets on keeps its connection, and who only seems to
/// does not keep what others need.
@Suite(.waiting) struct SlowClientTests {
    private let oracle = Oracle.wide()

    /// Asks for a reply of about as many megabytes: of maps as base64, 0.2 MB each.
    private func ask(_ client: LineSocket, megabytes: Int) throws {
        try client.send(line: oracle.embedLine(Array(0..<UInt64(5 * megabytes)), #","layers":["conv1"]"#))
    }

    /// Takes a reply, `count` bytes at a time and 20 ms between; how many bytes it has, nil where it ends too early.
    private func take(_ client: LineSocket, _ count: Int, meanwhile: () -> Void = {}) -> Int? {
        var chunk = [UInt8](repeating: 0, count: count)
        var total = 0
        while true {
            let received = recv(client.descriptor, &chunk, count, 0)
            guard received > 0 else { return nil }
            total += received
            if chunk[received - 1] == UInt8(ascii: "\n") { return total }
            meanwhile()
            usleep(20_000)
        }
    }

    /// The system tells of room for more only when a third of what it holds is taken, here 2 s and more after the last.
    /// Not under sanitizers, where the client itself may rest for longer.
    @Test(.enabled(if: !isInstrumented)) func whoTakesALittleAtATimeIsNotCutOff() throws {
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--write-timeout", "1.5"])
        let client = try server.connect()
        try ask(client, megabytes: 12)
        // Six seconds of half a megabyte a second, then the rest as fast as it comes.
        var taken = 0
        while taken < 3_000_000 {
            var chunk = [UInt8](repeating: 0, count: 10_000)
            let received = recv(client.descriptor, &chunk, chunk.count, 0)
            guard received > 0 else { throw TestFailure("cut off after \(taken) bytes") }
            taken += received
            usleep(20_000)
        }
        taken += try client.skipLine()
        #expect(taken > 11_000_000)
    }

    /// A reply lies in the system's buffers when the server ends; its client takes it, and asks for more meanwhile.
    @Test func aReplyOutlivesTheServersEnd() throws {
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--write-timeout", "600", "--drain-timeout", "600"])
        let other = try server.connect()
        let client = try server.connect(receiveBuffer: 4096)
        try ask(client, megabytes: 1)
        try waitUntil("the reply is with the system") {
            let stats = try other.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
            // Counted once it is computed: before it is read nothing is in flight either.
            return stats?["latency_ms"]?["total"]?["count"] == 1 && stats?["queue"]?["in_flight"] == 0
                && stats?["memory"]?["replies"] == 0
        }
        server.send(SIGTERM)
        try server.waitForLog("draining after SIGTERM")
        // A second and more, where a connection that is done waits half a second for its client.
        let taken = take(client, 20_000) { client.trySend(Array("{}\n".utf8), isPatient: false) }
        #expect(taken ?? 0 > 900_000)
        #expect(try server.waitForExit() == 0, "\(server.log)")
    }

    /// More clients than the poller tells of at once, whose lines go on while the server stands still for longer than a
    /// line may rest.
    @Test func aServerThatStoodStillReadsBeforeItJudges() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, ["--read-timeout", isInstrumented ? "3" : "1"])
        let line = Array(#"{"jsonrpc":"2.0","id":1,"method":"live"}"#.utf8)
        let clients = try (0..<100).map { _ in try server.connect() }
        let watcher = try server.connect()
        for client in clients { try client.send(line.prefix(19)) }
        let question = #"{"jsonrpc":"2.0","id":1,"method":"stats"}"#
        var questions = 0
        try waitUntil("half of each line is there") {
            questions += question.utf8.count + 1
            return int(try watcher.ask(question).result?["bytes"]?["received"]) == questions + clients.count * 19
        }
        // Until now this test may itself have been kept from its core.
        for client in clients { try client.send([line[19]]) }
        try server.pause()
        for client in clients { try client.send(line.dropFirst(20) + [0x0A]) }
        sleep(isInstrumented ? 4 : 2)
        server.send(SIGCONT)
        for client in clients { #expect(try client.reply().code == nil) }
        #expect(try watcher.timedOut("read") == 0)
    }

    /// Replies to these clients take a good part of what all have, and each takes a few bytes now and then: they make
    /// room, until what is left is little.
    @Test func whoHardlyTakesAnythingMakesRoom() throws {
        let model = try TemporaryModel(oracle)
        let models = try ServerProcess(model: model.path).connect().memory().models
        let folder = try temporaryFolder()
        let socket = folder + "/socket"
        defer {
            unlink(socket)
            rmdir(folder)
        }
        // 16 MB for requests and replies, of which 4 are much.
        let server = try ServerProcess(
            model: model.path,
            [
                "--line-timeout", "3", "--write-timeout", "600", "--memory-limit", "\(models + 64 << 20)", "--unix",
                socket,
            ])
        let good = try server.connect()
        // Its buffers in the kernel are small.
        let clients = try (0..<3).map { _ in try LineSocket(unixPath: socket) }
        // All at once: the last one's is to be there before the first one's time is over.
        for client in clients { try ask(client, megabytes: 3) }
        var byte: UInt8 = 0
        for client in clients { #expect(recv(client.descriptor, &byte, 1, 0) == 1) }
        #expect(try good.memory().replies > 4 << 20)
        try waitUntil("nobody makes room") {
            for client in clients { _ = try client.takesAByte() }
            return try good.memory().replies <= 4 << 20
        }
        #expect(int(try good.timedOut("write")) ?? 0 >= 1)
    }
}

extension LineSocket {
    /// Whether a byte was there to take.
    fileprivate func takesAByte() throws -> Bool {
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT)) == 1
    }
}
