import CPlatform
import Glibc
import JSONRPC
import TestSupport
import Testing

/// A request that meets an idle server is computed by the event loop, others by the workers: nobody should see which.
@Suite(.waiting) struct LoneRequestTests {
    private let oracle = Oracle.wide()

    /// A server that has computed something, so that it knows what a patch costs; that is brief, however slow the
    /// build.
    private func server(_ arguments: [String] = []) throws -> (ServerProcess, TemporaryModel) {
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--brief-batch", "60"] + arguments)
        #expect(try server.connect().ask(oracle.embedLine()).embeddings.count == 1)
        return (server, model)
    }

    private func inFlight(_ client: LineSocket) throws -> Int? {
        int(try client.ask(#"{"jsonrpc":"2.0","id":0,"method":"stats"}"#).result?["queue"]?["in_flight"])
    }

    @Test func answersHaveTheSameBitsAloneAndInACrowd() throws {
        let (server, model) = try server()
        defer { withExtendedLifetime(model) {} }
        let client = try server.connect()
        let seeds = Array(UInt64(1)...24)
        let alone = try seeds.map { try client.ask(oracle.embedLine(id: "\($0)", [$0])).line }
        for seed in seeds { try client.send(line: oracle.embedLine(id: "\(seed)", [seed])) }
        let crowd = try seeds.map { _ in try client.reply().line }
        #expect(crowd.sorted() == alone.sorted())
        #expect(Set(alone).count == seeds.count)
    }

    @Test func twoClientsInTurns() throws {
        let (server, model) = try server()
        defer { withExtendedLifetime(model) {} }
        let clients = try (0..<3).map { _ in try server.connect() }
        for round in 0..<30 {
            for (index, client) in clients.enumerated() {
                try client.send(line: oracle.embedLine(id: "\(round * 3 + index)", [UInt64(index)]))
            }
            for (index, client) in clients.enumerated() {
                let reply = try client.reply()
                #expect(reply.id == .int(round * 3 + index) && reply.embeddings.count == 1, "\(reply.line)")
            }
        }
    }

    /// Replies of 200 kB to a client that reads nothing wait in the server, each behind what the socket did not take.
    @Test func aSlowReaderGetsEverythingOnce() throws {
        let (server, model) = try server()
        defer { withExtendedLifetime(model) {} }
        let slow = try server.connect(receiveBuffer: 4096)
        let other = try server.connect()
        let count = 40
        for id in 0..<count {
            try slow.send(line: oracle.embedLine(id: "\(id)", [UInt64(id)], #","layers":["conv1"]"#))
            // One after the other, so that none meets a busy server.
            try waitUntil("it is never computed") { try inFlight(other) == 0 }
            #expect(try other.ask(oracle.embedLine()).embeddings.count == 1)
        }
        // In whatever order: the next request may be there before the first is seen to be.
        var seen: Set<Int> = []
        for _ in 0..<count {
            let reply = try slow.reply()
            #expect(reply.embeddings.count == 1)
            #expect(seen.insert(try #require(int(reply.id))).inserted)
        }
        #expect(seen == Set(0..<count))
        #expect(try slow.isQuiet())
    }

    @Test func aClientThatGoesInTheMiddleOfAReplyHarmsNobody() throws {
        let (server, model) = try server()
        defer { withExtendedLifetime(model) {} }
        let other = try server.connect()
        let expected = try other.ask(oracle.embedLine()).line
        for round in 0..<20 {
            let client = try server.connect(receiveBuffer: 4096)
            client.resetOnClose()
            for id in 0..<(1 + round % 3) {
                try client.send(line: oracle.embedLine(id: "\(id)", [1], #","layers":["conv1"]"#))
            }
            // Its reply has begun; the rest finds nobody.
            var byte: UInt8 = 0
            if round % 2 == 0 { #expect(recv(client.descriptor, &byte, 1, 0) == 1) }
            withExtendedLifetime(client) {}
        }
        #expect(try other.ask(oracle.embedLine()).line == expected)
        try waitUntil("something stays in flight") { try inFlight(other) == 0 }
    }

    @Test func aDrainingServerAnswersWhatItHasRead() throws {
        for _ in 0..<5 {
            let (server, model) = try server()
            defer { withExtendedLifetime(model) {} }
            let client = try server.connect()
            #expect(try client.ask(oracle.embedLine()).embeddings.count == 1)
            try client.send(line: oracle.embedLine(id: "2"))
            server.send(SIGTERM)
            // Read before the signal or after it; answered either way, once. A connection that was idle is closed.
            if let line = try client.readLine() {
                let reply = try TestReply(line)
                #expect(reply.id == 2)
                #expect(reply.embeddings.count == 1 || reply.code == -32001, "\(line)")
                #expect(try client.readLine() == nil)
            }
            #expect(try server.waitForExit() == 0)
        }
    }

    /// What came before the signal is read before it, however late the server gets to either: by its own loop; another
    /// may be told only that no more is taken.
    @Test func aDrainingServerReadsWhatCameBefore() throws {
        let (server, model) = try server(["--event-loops", "1"])
        defer { withExtendedLifetime(model) {} }
        let client = try server.connect()
        #expect(try client.ask(oracle.embedLine()).embeddings.count == 1)
        try server.pause()
        try client.send(line: oracle.embedLine(id: "2"))
        try waitUntil("it does not arrive") { exemplar_untaken_bytes(client.descriptor) == 0 }
        server.send(SIGTERM)
        server.send(SIGCONT)
        let reply = try client.reply()
        #expect(reply.id == 2 && reply.embeddings.count == 1, "\(reply.line)")
        #expect(try client.readLine() == nil)
        #expect(try server.waitForExit() == 0)
    }
}
