import FoundationEssentials
import Glibc
import JSONRPC
import TestSupport
import Testing
import Transformations

/// Several event loops: a client cannot tell which of them has its connection.
@Suite(.waiting) struct EventLoopsTests {
    private static let loops = 3
    private static let arguments = ["--event-loops", "\(loops)"]

    /// More connections than loops, each used before and after a reload, whose models every loop has at once.
    @Test func everyLoopServesTheSameModels() throws {
        let oracles = [Oracle.tiny(seed: 5), .tiny(seed: 6)]
        let first = try TemporaryModel(oracles[0])
        let folder = try ModelsFolder([("m", first)])
        let server = try ServerProcess(["--models", folder.path] + Self.arguments)
        let clients = try (0..<Self.loops * 2 + 1).map { _ in try server.connect() }
        let line = oracles[0].embedLine()
        let before = try clients.map { try $0.ask(line).line }
        #expect(Set(before).count == 1)
        let loaded = try #require(int(clients[0].ask(LifeCycleTests.call("stats")).result?["memory"]?["models"]))

        let second = try TemporaryModel(oracles[1])
        try folder.replace("m", with: second)
        server.send(SIGHUP)
        try server.waitForLog("info reloaded")
        let after = try clients.map { try $0.ask(line).line }
        #expect(Set(after).count == 1 && after[0] != before[0])

        // The old models are freed: no loop that rests keeps them.
        server.send(SIGHUP)
        try server.waitForLog("info reloaded", skip: 1)
        try clients[0].waitForMemory { $0.models == loaded }
    }

    /// Connections that each loop watches, as the system tells of its poller; the fewest first.
    private func connectionsOfLoops(_ server: ServerProcess) throws -> [Int] {
        let process = "/proc/\(server.identifier)"
        return try FileManager.default.contentsOfDirectory(atPath: process + "/fd").compactMap { name in
            // What the server has just closed is gone.
            let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(process)/fd/\(name)")
            guard target?.contains("eventpoll") == true else { return nil }
            let text = try String(contentsOfFile: "\(process)/fdinfo/\(name)", encoding: .utf8)
            return text.split(separator: "\n").count { line in
                // tfd: 12 events: 1 data: 1f pos:0 …, of which `data` is the token: below 16 are no connections.
                let words = line.split(separator: " ")
                guard words.first == "tfd:", let data = words.firstIndex(of: "data:") else { return false }
                return UInt64(words[data + 1], radix: 16) ?? 0 >= 16
            }
        }.sorted()
    }

    /// Each new connection goes to the loop that has fewest; where there is a token, once it is shown.
    @Test(arguments: [false, true]) func everyLoopHasItsPart(withToken: Bool) throws {
        let model = try TemporaryModel(.tiny(), golden: 0)
        let token = try TemporaryFile("correct horse\n")
        let server = try ServerProcess(
            model: model.path, Self.arguments + (withToken ? ["--token-file", token.path] : []))
        var clients: [LineSocket] = []
        for count in 1...3 {
            for _ in 0..<Self.loops {
                let client = try server.connect()
                if withToken { #expect(try client.ask(AccessTests.auth("correct horse")).code == nil) }
                #expect(try client.isQuiet())
                clients.append(client)
            }
            // On its way to another loop a connection is watched by none.
            var parts: [Int] = []
            try waitUntil("the loops have \(parts)") {
                parts = try connectionsOfLoops(server)
                return parts.reduce(0, +) == clients.count
            }
            #expect(parts == Array(repeating: count, count: Self.loops))
        }
        guard withToken else { return }
        // Who has not shown it stays with the server's own.
        let strangers = try (0..<4).map { _ in try server.connect() }
        for stranger in strangers { #expect(try stranger.isQuiet()) }
        #expect(try connectionsOfLoops(server) == [3, 3, 3 + strangers.count])
    }

    /// Pipelined requests on connections of all loops, which the batcher puts into the same batches: each reply comes
    /// to the connection that asked, and has the bits of one alone.
    @Test func repliesFindTheirConnections() throws {
        let oracle = Oracle.tiny()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, Self.arguments)
        let count = 200
        let alone = try server.connect()
        let expected = try (0..<8).map { try alone.ask(oracle.embedLine([UInt64($0)])).embeddings }
        let clients = try (0..<6).map { _ in try server.connect() }
        let writers = clients.enumerated().map { index, client in
            LineWriter(
                client, (0..<count).map { oracle.embedLine(id: "\(index * count + $0)", [UInt64(index + $0) % 8]) })
        }
        for (index, client) in clients.enumerated() {
            var ids: Set<Int> = []
            for _ in 0..<count {
                let reply = try client.reply()
                let id = try #require(int(reply.id))
                ids.insert(id)
                #expect(reply.embeddings == expected[(index + id - index * count) % 8])
            }
            #expect(ids == Set(index * count..<(index + 1) * count))
        }
        for writer in writers { writer.join() }
        let stats = try alone.ask(LifeCycleTests.call("stats")).result
        #expect(int(stats?["patches"]) == 6 * count + 8)
    }

    /// Each loop ends what its clients wait for no longer: the timer may be another loop's.
    @Test func deadlinesPassOnEveryLoop() throws {
        let oracle = Oracle.wide(
            transformations: TransformationRanges(
                translation: 0.1, scale: 0.9...1.1, rotationDegrees: 10, contrast: nil, color: nil, hue: nil,
                border: .reflect))
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, Self.arguments + ["--queue", "100000"])
        let clients = try (0..<Self.loops * 2).map { _ in try server.connect() }
        for (index, client) in clients.enumerated() {
            let parameters = #","transform":{"mode":"mean","samples":4000,"seed":1},"deadline_ms":\#(20 + index * 7)"#
            try client.send(line: oracle.embedLine([1], parameters))
        }
        for client in clients { #expect(try client.reply().code == -32008) }
        #expect(try clients[0].ask(LifeCycleTests.call("stats")).result?["queue"]?["in_flight"] == 0)
    }

    /// The limit is that of all loops together, and holds again when somebody has left any of them.
    @Test func oneLimitOnConnections() throws {
        let oracle = Oracle.tiny()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, Self.arguments + ["--max-connections", "5"])
        var clients = try (0..<5).map { _ in try server.connect() }
        for client in clients { #expect(try client.isQuiet()) }
        for index in 0..<5 {
            #expect(try server.connect().reply().code == -32009)
            clients.remove(at: index)
            // The server hears of it some time later.
            let observer = clients[0]
            try waitUntil("it stays") {
                try observer.ask(LifeCycleTests.call("stats")).result?["connections"]?["open"] == 4
            }
            clients.insert(try server.connect(), at: index)
            #expect(try clients[index].ask(oracle.embedLine()).code == nil)
        }
    }

    /// Each loop takes two descriptors.
    @Test func moreLoopsThanTheSystemHasDescriptorsFor() throws {
        let server = try ServerProcess(
            launching: ["serve", "--model", "none", "--port", "0", "--event-loops", "64"], descriptors: 60)
        #expect(try server.waitForExit() == 1)
        #expect(server.log.contains("ulimit -n") && server.log.contains("--event-loops"), "\(server.log)")
    }

    /// Who connects after somebody has left finds the place, whichever loop the other was with.
    @Test func aPlaceThatIsLeftIsFree() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(model: model.path, Self.arguments + ["--max-connections", "4"])
        var clients = try (0..<4).map { _ in try server.connect() }
        for client in clients { #expect(try client.isQuiet()) }
        for round in 0..<200 {
            clients.remove(at: round % 4)
            clients.insert(try server.connect(), at: round % 4)
            #expect(try clients[round % 4].isQuiet(), "round \(round)")
        }
        let connections = try clients[0].ask(LifeCycleTests.call("stats")).result?["connections"]
        #expect(connections?["open"] == 4 && connections?["refused"] == 0)
    }

    /// The token is shown to one loop, and the connection goes on with another, with what it had sent of a line. Many
    /// who say nothing, one after the other, keep nobody out who has it.
    @Test func strangersStayWithOneLoop() throws {
        let oracle = Oracle.tiny()
        let model = try TemporaryModel(oracle)
        let token = try TemporaryFile("correct horse\n")
        let server = try ServerProcess(
            model: model.path,
            Self.arguments + ["--token-file", token.path, "--auth-timeout", "0", "--max-connections", "5"])
        func friend() throws -> LineSocket {
            let client = try server.connect()
            // The line after it begins in the same packet.
            let line = oracle.embedLine(id: "2") + "\n"
            try client.send(AccessTests.auth("correct horse") + "\n" + line.prefix(40))
            #expect(try client.reply().result?["status"] == "ok")
            try client.send(String(line.dropFirst(40)))
            #expect(try client.reply().embeddings.count == 1)
            return client
        }
        var friends = try (0..<4).map { _ in try friend() }
        // One that sends more behind the token than a turn takes is read on, wherever it goes.
        for count in [254, 256, 300, 700] {
            let client = try server.connect()
            let lines = (0..<count).map { _ in LifeCycleTests.call("live") }
            try client.send(([AccessTests.auth("correct horse")] + lines).joined(separator: "\n") + "\n")
            for _ in 0...count { #expect(try client.reply().code == nil) }
            for _ in 0..<3 { #expect(try client.ask(LifeCycleTests.call("live")).code == nil, "\(count)") }
        }
        let silent = try (0..<40).map { _ in try server.connect() }
        friends.append(try friend())
        for (index, client) in silent.enumerated() {
            #expect(try client.reply().code == -32009, "\(index)")
            #expect(try client.isClosedByServer())
        }
        #expect(try server.connect().reply().code == -32009)
        for client in friends { #expect(try client.ask(oracle.embedLine()).code == nil) }
        let connections = try friends[0].ask(LifeCycleTests.call("stats")).result?["connections"]
        #expect(connections?["open"] == 5 && connections?["refused"] == 41)
    }
}
