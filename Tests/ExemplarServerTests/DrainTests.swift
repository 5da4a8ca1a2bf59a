import ExemplarNetwork
import Glibc
import Images
import JSONRPC
import TestSupport
import Testing
import Transformations

/// What SIGTERM owes those who came before it: each request that was admitted has its answer, once, and no refusal in
/// its place.
@Suite(.waiting) struct DrainTests {
    private static let ranges = TransformationRanges(
        translation: 0.1, scale: 0.9...1.1, rotationDegrees: 10, contrast: nil, color: nil, hue: nil, border: .reflect)
    private static let clients = 3

    /// A line that is answered as soon as those before it are admitted.
    private static let fence = #"{"jsonrpc":"2.0","id":"fence","method":"live"}"# + "\n"

    /// Reads what each client gets before the fence; then every request is admitted.
    private func admitted(_ clients: [LineSocket]) throws -> [[TestReply]] {
        try clients.map { client in
            var early: [TestReply] = []
            while true {
                let reply = try client.reply()
                if reply.id == "fence" { return early }
                early.append(reply)
            }
        }
    }

    private func queue(_ server: ServerProcess) throws -> JSONValue {
        try #require(try server.connect().ask(LifeCycleTests.call("stats")).result?["queue"])
    }

    /// Sends SIGTERM and reads to the end what `clients` get: with what they have each has one embedding for each of
    /// `count` ids.
    private func drain(_ server: ServerProcess, _ clients: [LineSocket], _ early: [[TestReply]], _ count: Int) throws {
        server.send(SIGTERM)
        try server.waitForLog("draining after SIGTERM")
        for (client, early) in zip(clients, early) {
            var replies = early
            while let line = try client.readLine() { replies.append(try TestReply(line)) }
            for reply in replies { #expect(reply.embeddings.count == 1, "\(reply.line.prefix(200))") }
            #expect(replies.compactMap { int($0.id) }.sorted() == Array(0..<count), "each is answered once")
        }
        #expect(try server.waitForExit() == 0)
        #expect(server.log.contains("drained"))
    }

    @Test(arguments: [1, 3]) func whatIsInFlightIsAnswered(loops: Int) throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--queue", "100000", "--event-loops", "\(loops)"])
        let clients = try (0..<Self.clients).map { _ in try server.connect() }
        // Seconds to compute, where reading the requests takes a tenth of that: most wait when the signal comes.
        let (count, samples) = isInstrumented ? (8, 8) : (20, 15)
        let transform = #","transform":{"mode":"mean","samples":\#(samples),"seed":1}"#
        for client in clients {
            let lines = (0..<count).map { oracle.embedLine(id: "\($0)", [UInt64($0)], transform) + "\n" }
            try client.send(lines.joined() + Self.fence)
        }
        let early = try admitted(clients)
        let queue = try queue(server)
        #expect(try #require(int(queue["in_flight"])) > 0, "nothing was left to lose")
        try drain(server, clients, early, count)
    }

    /// An image that waits for the decoder is admitted: what comes of it goes into the network's queue while the server
    /// drains already.
    @Test func imagesThatWaitToBeDecodedAreAnswered() throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let clients = try (0..<Self.clients).map { _ in try server.connect() }
        // Little but decoding.
        let pixels = [UInt8](repeating: 100, count: 1000 * 1000 * 3)
        let raster = try #require(Raster(height: 1000, width: 1000, channels: .rgb, pixels: pixels))
        let image = base64(try raster.png())
        let count = 15
        for client in clients {
            let lines = (0..<count).map { id in
                #"{"jsonrpc":"2.0","id":\#(id),"method":"embed","params":{"images":["\#(image)"],"#
                    + #""transform":{"mode":"sample","seed":1}}}"# + "\n"
            }
            try client.send(lines.joined() + Self.fence)
        }
        let early = try admitted(clients)
        let queue = try queue(server)
        #expect(try #require(int(queue["decoding"])) > 0, "all were decoded before the signal")
        try drain(server, clients, early, count)
    }

    /// A server that is told to end before it has done its work says how much is lost, and its status tells it, too.
    @Test(arguments: [false, true]) func whatIsLostIsCounted(byTimeout: Bool) throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle, golden: 0)
        let server = try ServerProcess(
            model: model.path,
            ["--queue", "1000000", "--isa", "portable", "--drain-timeout", byTimeout ? "0.1" : "600"])
        let clients = try (0..<Self.clients).map { _ in try server.connect() }
        // Minutes of work each.
        let transform = #","transform":{"mode":"mean","samples":300000,"seed":1}"#
        for client in clients { try client.send(oracle.embedLine([1], transform) + "\n" + Self.fence) }
        #expect(try admitted(clients).allSatisfy(\.isEmpty))
        server.send(SIGTERM)
        try server.waitForLog("draining after SIGTERM requests=\(clients.count)")
        if !byTimeout { server.send(SIGINT) }
        #expect(try server.waitForExit() == 1)
        let reason = byTimeout ? "the drain timeout is over: " : "ended by a second SIGINT: "
        #expect(server.log.contains(reason + "\(clients.count) requests are lost"), "\(server.log)")
        if byTimeout { #expect(server.log.contains("and what 0 connections have not taken"), "\(server.log)") }
    }
}
