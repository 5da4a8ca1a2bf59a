import Glibc
import JSONRPC
import TestSupport
import Testing

/// Clients that stop, stall, flood or break off: they lose their connection, and nobody else notices.
@Suite(.waiting) struct HostileClientTests {
    static func live(_ id: Int) -> String { #"{"jsonrpc":"2.0","id":\#(id),"method":"live"}"# }

    @Test func connectionsBeyondTheLimitAreToldSo() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, ["--max-connections", "10"])
        let first = try (0..<10).map { _ in try server.connect() }
        for client in first { #expect(try client.isQuiet()) }
        for _ in 0..<40 {
            let refused = try server.connect()
            let reply = try refused.reply()
            #expect(reply.code == -32009 && reply.id == .null)
            #expect(try refused.readLine() == nil)
        }
        for client in first { #expect(try client.isQuiet()) }
        let stats = try first[0].ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
        #expect(stats?["connections"]?["refused"] == 40)
        #expect(stats?["connections"]?["open"] == 10)
        #expect(stats?["errors"]?["-32009"] == 40)
    }

    @Test func aPlaceThatGetsFreeIsGivenAgain() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, ["--max-connections", "1"])
        do {
            let client = try server.connect()
            #expect(try client.isQuiet())
        }
        // Closing takes its time to arrive; a server that never notices makes this fail at the end.
        try waitUntil("the place is never free") {
            let client = try server.connect()
            let reply = try client.ask(Self.live(1))
            #expect(reply.code == nil || reply.code == -32009)
            return reply.code == nil
        }
    }

    @Test func aLineThatStopsHalfWay() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, ["--read-timeout", "0.6", "--max-line-bytes", "4096"])
        let good = try server.connect()
        let halves = ["{", #"{"jsonrpc":"2.0","id":1,"method":"liv"#, "\u{16}\u{3}\u{1}\u{2}\u{0}", "\r"]
        let clients = try halves.map { half in
            let client = try server.connect()
            try client.send(half)
            return client
        }
        let tooLong = try server.connect()
        // At once: in the middle of it this test might be kept from its core for longer than a line may rest.
        try tooLong.send(String(repeating: "x", count: 5000))
        #expect(try tooLong.reply().code == -32007)
        for client in clients + [tooLong] { #expect(try client.isClosedByServer()) }
        #expect(try good.timedOut("read") == 5)
        // A connection that rests between lines is none of those.
        #expect(try good.isQuiet())
    }

    @Test func aTLSClientIsTurnedAway() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, ["--read-timeout", "0.4"])
        let client = try server.connect()
        // The start of a ClientHello of TLS 1.3, RFC 8446, §4.1.2, with a random that has a line feed.
        let hello: [UInt8] = [0x16, 3, 1, 0, 60, 1, 0, 0, 56, 3, 3] + Array(0..<32) + [0, 0, 2, 0x13, 1, 1, 0]
        try client.send(hello)
        #expect(try client.reply().code == -32700)
        #expect(try client.isClosedByServer())
    }

    @Test func oneByteAtATimeTooSlowly() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, ["--read-timeout", "0.3"])
        let good = try server.connect()
        let clients = try (0..<20).map { _ in try server.connect() }
        for client in clients { try client.send("{") }
        sleep(1)
        for client in clients { client.trySend("x".utf8) }
        for client in clients { #expect(try client.isClosedByServer()) }
        #expect(try good.isQuiet())
    }

    /// A byte now and then never rests for long, and still the line must end some time.
    @Test func aLineThatNeverEnds() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, ["--line-timeout", "0.5", "--log-level", "debug"])
        let client = try server.connect()
        for _ in 0..<1000 {
            guard client.trySend("x".utf8) == 1 else { break }
            usleep(10_000)
        }
        #expect(try client.isClosedByServer())
        try server.waitForLog("a line took too long")
        #expect(try server.connect().timedOut("line") == 1)
    }

    /// As many as the server takes, each with a line that never ends: they are closed, the one who asks something is
    /// answered all the while, and their places are there for others.
    @Test func aLineThatNeverEndsOnEveryConnection() throws {
        let model = try TemporaryModel(.tiny())
        let places = 128
        let server = try ServerProcess(
            model: model.path, ["--line-timeout", "0.5", "--max-connections", "\(places)"])
        let good = try server.connect()
        #expect(try good.isQuiet())
        let slow = try (1..<places).map { _ in try server.connect() }
        try waitUntil("some of them stay") {
            for client in slow { client.trySend("x".utf8) }
            #expect(try good.isQuiet())
            return try good.timedOut("line") == .int(slow.count)
        }
        for client in slow { #expect(try client.isClosedByServer()) }
        let others = try slow.map { _ in try server.connect() }
        for client in others + [good] { #expect(try client.isQuiet()) }
        #expect(try good.ask(LifeCycleTests.call("stats")).result?["connections"]?["refused"] == 0)
    }

    /// Both have sent everything before the server runs: who comes first must not keep the other waiting to the end.
    private func flood(_ line: String, count: Int, of entries: Int) throws {
        let model = try TemporaryModel(.tiny())
        // One loop, which is to be fair: on another the quiet one might be kept from its core.
        let server = try ServerProcess(model: model.path, ["--event-loops", "1"])
        let (flooding, quiet) = (try server.connect(), try server.connect())
        #expect(try flooding.isQuiet() && quiet.isQuiet())
        try server.pause()
        try flooding.send(String(repeating: line + "\n", count: count))
        try quiet.send(line: #"{"jsonrpc":"2.0","id":1,"method":"stats"}"#)
        server.send(SIGCONT)
        let stats = try quiet.reply().result
        #expect(int(stats?["errors"]?["-32600"]) ?? 0 < count * entries, "the flood was answered in full first")
        for _ in 0..<count { #expect(try flooding.readLine()?.contains("-32600") == true) }
        #expect(try flooding.isQuiet())
    }

    @Test func aFloodOfShortLinesTakesTurns() throws { try flood("1", count: 20_000, of: 1) }

    /// Lines that are JSON-RPC batches count by their entries.
    @Test func aFloodOfBatchesTakesTurns() throws {
        try flood("[" + Array(repeating: "1", count: 1000).joined(separator: ",") + "]", count: 20, of: 1000)
    }

    /// Lines that wait for their turn are answered although the client has closed its sending side, or the server
    /// drains.
    @Test func linesThatWaitForTheirTurnAreAnswered() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path)
        for drains in [false, true] {
            let client = try server.connect()
            let other = try server.connect()
            #expect(try client.isQuiet() && other.isQuiet())
            try server.pause()
            let count = 5000
            try client.send(String(repeating: "1\n", count: count))
            if drains { server.send(SIGTERM) } else { client.finishSending() }
            server.send(SIGCONT)
            var answers = 0
            while try client.readLine() != nil { answers += 1 }
            // The signal may come before the lines: then none is read any more.
            #expect(answers == count || drains && answers == 0)
        }
        #expect(try server.waitForExit() == 0)
    }

    @Test func anIdleConnection() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, ["--idle-timeout", "0.3"])
        #expect(try server.connect().isClosedByServer())
        // Who asks for the figure may itself be taken for idle, where this test is kept from its core.
        var client = try server.connect()
        try waitUntil("nobody was idle") {
            client = try server.connect()
            return int((try? client.timedOut("idle")) ?? nil) ?? 0 > 0
        }
        #expect(try client.isClosedByServer())
    }

    @Test func aResetInTheMiddleOfARequest() throws {
        let oracle = Oracle.tiny()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let good = try server.connect()
        #expect(try good.isQuiet())
        let descriptors = try server.openDescriptorCount()
        let line = Array(oracle.embedLine([1, 2, 3]).utf8)
        for cut in stride(from: 1, to: line.count, by: 97) {
            let client = try server.connect()
            try client.send(line[..<cut])
            client.resetOnClose()
        }
        for _ in 0..<50 {
            // Admitted or not yet: its reply has nowhere to go.
            let client = try server.connect()
            try client.send(line + [0x0A])
            client.resetOnClose()
        }
        #expect(try good.isQuiet())
        try settle(good, server, descriptors)
    }

    @Test func aResetInTheMiddleOfAReply() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let good = try server.connect()
        #expect(try good.isQuiet())
        let descriptors = try server.openDescriptorCount()
        let line = oracle.embedLine([1, 2, 3, 4], #","layers":["conv1"],"encoding":"float""#) + "\n"
        for _ in 0..<10 {
            let client = try server.connect(receiveBuffer: 4096)
            try client.send(line)
            var byte: UInt8 = 0
            #expect(recv(client.descriptor, &byte, 1, 0) == 1)
            client.resetOnClose()
        }
        #expect(try good.isQuiet())
        try settle(good, server, descriptors)
    }

    /// Waits until the server has nothing left to do for anybody but `client`, and no more descriptors than it had.
    private func settle(_ client: LineSocket, _ server: ServerProcess, _ descriptors: Int) throws {
        try waitUntil("connections or requests are left behind") {
            let stats = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
            return stats?["connections"]?["open"] == 1 && stats?["queue"]?["in_flight"] == 0
        }
        try waitUntil("of descriptors there were \(descriptors), and now there are more") {
            try server.openDescriptorCount() <= descriptors
        }
    }

    @Test func outOfDescriptorsAndBack() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, descriptors: 32)
        let first = try server.connect()
        #expect(try first.isQuiet())
        do {
            let many = try (0..<60).map { _ in try server.connect() }
            try server.waitForLog("cannot accept")
            #expect(try first.isQuiet())
            #expect(try many[0].isQuiet())
        }
        #expect(try server.connect().isQuiet())
        #expect(try first.isQuiet())
    }

    /// What a shell allows is raised as far as nobody need be asked.
    @Test func theSoftLimitOnDescriptorsIsRaised() throws {
        let model = try TemporaryModel(.tiny(), golden: 0)
        let server = try ServerProcess(
            launching: ["serve", "--port", "0", "--model", model.path, "--max-connections", "100"],
            limit: "ulimit -Sn 64; ")
        try server.waitUntilItListens()
        let clients = try (0..<100).map { _ in try server.connect() }
        for client in clients { #expect(try client.isQuiet()) }
        #expect(try server.openDescriptorCount() > 100)
    }

    /// Nor do strangers keep anybody out by taking all descriptors, of which there are fewer than places.
    @Test func strangersWhoTakeAllDescriptorsMakeWay() throws {
        let oracle = Oracle.tiny()
        let model = try TemporaryModel(oracle)
        let token = try TemporaryFile("correct horse\n")
        let server = try ServerProcess(
            model: model.path, ["--token-file", token.path, "--auth-timeout", "0"], descriptors: 40)
        #expect(server.log.contains("too few for --max-connections"))
        let silent = try (0..<80).map { _ in try server.connect() }
        for _ in 0..<3 {
            let friend = try server.connect()
            #expect(try friend.ask(AccessTests.auth("correct horse")).result?["status"] == "ok")
            #expect(try friend.ask(oracle.embedLine()).embeddings.count == 1)
        }
        #expect(try silent[0].reply().code == -32009)
        withExtendedLifetime(silent) {}
    }

    @Test func aLogThatNobodyReads() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, ["--idle-timeout", "0.2", "--log-level", "debug"])
        // Each connection closed for its idleness is a line of 100 bytes; a pipe holds 64 KiB of them.
        for _ in 0..<6 {
            let idle = try (0..<200).map { _ in try server.connect() }
            usleep(300_000)
            withExtendedLifetime(idle) {}
        }
        // A client that is kept from its core is idle, too; a server that hangs answers none of them.
        let isAnswered = try (0..<10).contains { _ in
            let client = try server.connect()
            client.setTimeout(seconds: isInstrumented ? 10 : 3)
            return (try? client.isQuiet()) == true
        }
        #expect(isAnswered)
    }
}
