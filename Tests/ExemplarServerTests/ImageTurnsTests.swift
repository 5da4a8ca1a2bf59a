import ExemplarNetwork
import Images
import JSONRPC
import TestSupport
import Testing
import Transformations

/// Whose image is decoded next: connections take turns, and deadlines end by the clock.
@Suite(.waiting) struct ImageTurnsTests {
    private static let count = isInstrumented ? 30 : 150
    private static let ranges = TransformationRanges(
        translation: 0.1, scale: 0.9...1.1, rotationDegrees: 10, contrast: nil, color: nil, hue: nil, border: .reflect)

    /// A request for one transformed patch of an image of a megapixel: little but decoding.
    private static func slowLine(id: Int) throws -> String {
        let pixels = [UInt8](repeating: 100, count: 1000 * 1000 * 3)
        let image = try #require(Raster(height: 1000, width: 1000, channels: .rgb, pixels: pixels))
        return line(id: id, try image.png(), #","transform":{"mode":"sample","seed":1}"#)
    }

    private static func line(id: Int, _ file: [UInt8], _ parameters: String = "") -> String {
        #"{"jsonrpc":"2.0","id":\#(id),"method":"embed","params":{"images":["\#(base64(file))"]\#(parameters)}}"#
    }

    /// Requests answered by workers so far.
    private static func done(_ stats: JSONValue?) throws -> Int {
        try #require(int(stats?["latency_ms"]?["total"]?["count"]))
    }

    /// A client whose images keep the decoder busy for a while, all of them queued, and how many are answered already.
    private func flood(_ server: ServerProcess) throws -> (LineSocket, answered: Int) {
        let client = try server.connect()
        let line = try Self.slowLine(id: 1)
        let fence = #"{"jsonrpc":"2.0","id":"fence","method":"live"}"#
        let writer = LineWriter(client, Array(repeating: line, count: Self.count) + [fence])
        var answered = 0
        while try client.reply().id != "fence" { answered += 1 }
        writer.join()
        return (client, answered)
    }

    private func smallImage(_ oracle: Oracle) throws -> [UInt8] {
        let shape = oracle.configuration.input
        let image = Raster(height: shape.height, width: shape.width, channels: .rgb, pixels: oracle.patch(4))
        return try #require(image).png()
    }

    /// What waits for the decoder is in flight.
    @Test func imagesThatAreNotDecodedAreInFlight() throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let (flooding, _) = try flood(server)
        let stats = try server.connect().ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
        let inFlight = try #require(int(stats?["queue"]?["in_flight"]))
        let decoding = try #require(int(stats?["queue"]?["decoding"]))
        #expect(decoding > 0 && decoding <= inFlight && inFlight <= Self.count, "\(decoding) of \(inFlight)")
        withExtendedLifetime(flooding) {}
    }

    @Test func aFloodOfImagesDelaysOthersByOne() throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let (flooding, answered) = try flood(server)
        let quiet = try server.connect()
        // Read in one turn: what is done until then comes first anyway.
        try quiet.send("\(LifeCycleTests.call("stats"))\n\(Self.line(id: 2, smallImage(oracle)))\n")
        let before = try Self.done(quiet.reply().result)
        let reply = try quiet.reply()
        #expect(reply.embeddings.count == 1, "\(reply.line)")
        // With the quiet one's, and those that were done while this was asked.
        let done = try Self.done(quiet.ask(LifeCycleTests.call("stats")).result) - before
        #expect(done <= (Self.count - before) / 2, "\(done) of \(Self.count - before) came first")
        for _ in answered..<Self.count { #expect(try flooding.reply().embeddings.count == 1) }
    }

    /// One request of many images that take long is not one turn.
    @Test func aRequestOfManyImagesDelaysOthersByOneOfThem() throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let pixels = [UInt8](repeating: 100, count: 1000 * 1000 * 3)
        let image = base64(try #require(Raster(height: 1000, width: 1000, channels: .rgb, pixels: pixels)).png())
        let count = 40
        let images = Array(repeating: "\"\(image)\"", count: count).joined(separator: ",")
        let many = try server.connect()
        try many.send(
            line: #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"images":[\#(images)],"#
                + #""transform":{"mode":"sample","seed":1}}}"#)
        let quiet = try server.connect()
        func decoding() throws -> Int {
            let stats = try quiet.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
            return try #require(int(stats?["queue"]?["decoding"]))
        }
        try waitUntil("the images are being decoded") { try decoding() == 1 }
        #expect(try quiet.ask(Self.line(id: 2, smallImage(oracle))).embeddings.count == 1)
        #expect(try decoding() == 1, "all \(count) came first")
        #expect(try many.reply().embeddings.count == count)
    }

    /// A request whose first image is none is answered in its first turn, and not after the turns of all its others.
    @Test func aRequestThatFailsTakesNoMoreTurns() throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let (flooding, answered) = try flood(server)
        let sound = base64(try smallImage(oracle))
        let images = Array(repeating: ",\"\(sound)\"", count: Self.count).joined()
        let quiet = try server.connect()
        let reply = try quiet.ask(
            #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"images":["bm9uZQ=="\#(images)]}}"#)
        #expect(reply.code == -32006 && int(reply.data?["index"]) == 0, "\(reply.line)")
        let stats = try quiet.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
        #expect(try Self.done(stats) < Self.count, "the flood came first")
        #expect(try #require(int(stats?["queue"]?["decoding"])) > 0)
        for _ in answered..<Self.count { #expect(try flooding.reply().embeddings.count == 1) }
    }

    /// Images that fill their queue and take long, on one thread and on two: patches are computed beside them, and are
    /// refused for their own number alone.
    @Test(arguments: [1, 2])
    func patchesGoOnBesideImages(threads: Int) throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(
            model: model.path, ["--queue", "600"] + (isInstrumented ? ["--isa", "portable"] : []), threads: threads)
        let quiet = try server.connect()
        let expected = try quiet.ask(oracle.embedLine()).embeddings
        let images = try server.connect()
        let count = 8
        let line = oracle.imageLine(400, 400)
        let writer = LineWriter(images, Array(repeating: line, count: count))
        // The queue is full: one more is refused.
        var refused = 0
        while refused == 0 { if try images.reply().code == -32000 { refused += 1 } }
        for _ in 0..<(isInstrumented ? 3 : 20) { #expect(try quiet.ask(oracle.embedLine()).embeddings == expected) }
        let stats = try quiet.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
        #expect(try #require(int(stats?["queue"]?["image_depth"])) > 0, "the images had gone")
        writer.join()
    }

    @Test func aDeadlineEndsWhileTheImageWaits() throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let (client, answered) = try flood(server)
        try client.send(line: Self.line(id: 2, smallImage(oracle), #","deadline_ms":5"#))
        var before = answered
        while true {
            let reply = try client.reply()
            if reply.code == -32008 { break }
            #expect(reply.code == nil, "\(reply.line)")
            before += 1
        }
        #expect(before < Self.count, "\(before) of \(Self.count) came first")
        for _ in before..<Self.count { #expect(try client.reply().embeddings.count == 1) }
        #expect(try client.isQuiet())
    }

    @Test func aConnectionThatLeavesTakesItsImagesAlong() throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        do {
            let (flooding, _) = try flood(server)
            flooding.resetOnClose()
        }
        let quiet = try server.connect()
        try waitUntil("the connection stays") {
            let stats = try quiet.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
            guard stats?["connections"]?["open"] == 1 else { return false }
            #expect(try Self.done(stats) < Self.count)
            return true
        }
        #expect(try quiet.ask(Self.line(id: 2, smallImage(oracle))).embeddings.count == 1)
    }
}
