import Glibc
import JSONRPC
import TestSupport
import Testing

/// Clients that ask and ask, and take no answer: what waits for them is bounded, and they are given up.
@Suite(.waiting) struct NeverReadingClientTests {
    /// Asks for as much as the server takes, reads nothing, and sees what becomes of the server's memory.
    private func neverRead(_ server: ServerProcess, _ method: String, _ line: String, count: Int) throws {
        let good = try server.connect()
        var taken = 0
        func ask(_ line: String) throws -> TestReply {
            let reply = try good.ask(line)
            taken += reply.line.utf8.count + 1
            return reply
        }
        let length = try ask(line).line.utf8.count + 1
        /// Bytes of replies that the server has for the other one and could not send: those of all requests that it has
        /// read, without what it has sent.
        func waiting() throws -> Int {
            let before = taken
            let stats = try ask(LifeCycleTests.call("stats")).result
            let (read, sent) = (int(stats?["requests"]?[method]), int(stats?["bytes"]?["sent"]))
            return (try #require(read) - 1) * length - (try #require(sent) - before)
        }
        #expect(try waiting() == 0)
        let before = try server.residentBytes()
        let client = try server.connect(receiveBuffer: 4096)
        let bytes = Array((line + "\n").utf8)
        var (most, mostWaiting) = (0, 0)
        for index in 0..<count {
            guard client.trySend(bytes, isPatient: false) == bytes.count else { break }
            if index % 64 == 0 {
                mostWaiting = max(mostWaiting, try waiting())
                most = max(most, try server.residentBytes())
            }
        }
        // Reading now would be progress: wait until the server has given the client up.
        try waitUntil("it is never given up") {
            let stats = try ask(LifeCycleTests.call("stats")).result
            guard stats?["connections"]?["open"] != 1 else { return true }
            mostWaiting = max(mostWaiting, try waiting())
            most = max(most, try server.residentBytes())
            return false
        }
        // No further line is read from 16 MiB on, and the reply that leads beyond them may be one.
        let bound = 16 << 20
        #expect(mostWaiting > 0 && mostWaiting <= bound + 2 * length, "\(mostWaiting) bytes wait")
        // Of resident memory that is several times as much: what holds the replies doubles, and while it grows there
        // are two; beside it is what is being computed and written, and what the allocator has not given back.
        // Sanitizers, whose builds have no allocator of the house, keep what is freed.
        let stats = try ask(LifeCycleTests.call("stats")).result
        if stats?["allocator"] != .null { #expect(most - before < 6 * bound, "grew by \((most - before) >> 20) MiB") }
        // The server closes the connection at last: what was not read of it ends early.
        #expect(try client.isCutOff())
        #expect(try good.timedOut("write") == 1)
    }

    /// On several loops one would be asked while another has sent what it has not yet counted.
    private static let writing = ["--write-timeout", "1", "--event-loops", "1"]

    @Test func aClientThatNeverReadsSmallReplies() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, Self.writing)
        try neverRead(server, "models", #"{"jsonrpc":"2.0","id":1,"method":"models"}"#, count: 200_000)
    }

    /// A batch is one line, and so are its replies: those that it could not hold are refused, wherever they come from.
    @Test(arguments: ["patches", "images"]) func repliesToABatchAreBounded(entries: String) throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let client = try ServerProcess(model: model.path, ["--max-reply-bytes", "1000000"]).connect()
        let entry = base64(try entries == "images" ? oracle.file(1) : oracle.patch(1))
        func line(_ id: Int) -> String {
            #"{"jsonrpc":"2.0","id":\#(id),"method":"embed","params":{"\#(entries)":["\#(entry)"],"layers":["conv1"]}}"#
        }
        let length = try client.ask(line(0)).line.utf8.count
        let (bound, count) = (16 << 20, 150)
        try client.send("[" + (0..<count).map(line).joined(separator: ",") + "]\n")
        let reply = try #require(try client.readLine())
        let refused = try #require(int(client.ask(LifeCycleTests.call("stats")).result?["errors"]?["-32000"]))
        // Counted by how long each could become, which is hardly more than it is.
        #expect(
            refused >= count - bound / length && refused < count - bound * 9 / 10 / length, "\(refused) of \(count)")
        #expect(reply.utf8.count <= bound + refused * 256)
        #expect(try client.ask(line(0)).code == nil)
    }

    /// What images lead to is owed while they wait to be decoded, too.
    @Test(arguments: ["patches", "images"]) func aClientThatNeverReadsLargeReplies(entries: String) throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, Self.writing)
        let entry = base64(try entries == "images" ? oracle.file(1) : oracle.patch(1))
        let line =
            #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"\#(entries)":["\#(entry)"],"layers":["conv1"]}}"#
        try neverRead(server, "embed", line, count: 1500)
    }
}
