import Batching
import ExemplarNetwork
import Glibc
import JSONRPC
import TestSupport
import Testing

@testable import ExemplarServer

/// More work than there is room for: refused at once, with the time to wait, and nothing lost.
@Suite(.waiting) struct OverloadTests {
    @Test func aFullQueueRefusesAndRecovers() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--queue", "8", "--max-batch", "4"])
        let client = try server.connect()
        // One JSON-RPC batch is taken as a whole, so that no worker can keep up.
        let count = 300
        let line = (0..<count).map { oracle.embedLine(id: "\($0)", [UInt64($0), 1, 2, 3]) }.joined(separator: ",")
        let reply = try client.ask("[\(line)]")
        guard case .array(let replies) = reply.value else { throw TestFailure(reply.line) }
        #expect(Set(replies.compactMap { int($0["id"]) }) == Set(0..<count))
        let refused = replies.filter { $0["error"] != nil }
        #expect(!refused.isEmpty && refused.count < count)
        for reply in refused {
            #expect(reply["error"]?["code"] == -32000)
            #expect(int(reply["error"]?["data"]?["retry_after_ms"]) ?? 0 >= 1)
        }
        #expect(try client.ask(oracle.embedLine()).embeddings.count == 1)
        let stats = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
        #expect(stats?["errors"]?["-32000"] == .int(refused.count))
        #expect(stats?["queue"]?["in_flight"] == 0)
    }

    private static func origin(_ connection: UInt64) -> ImageOrder.Origin {
        .init(
            address: ReplyAddress(loop: 0, connection: ConnectionID(connection), id: .null, batch: nil),
            deadline: nil, replyByteCount: 0)
    }

    /// Images that wait for the decoder are bounded by their number too, however short they are.
    @Test func imagesThatWaitAreCounted() throws {
        let model = try TemporaryModel(.tiny())
        let loaded = try Model.load(folder: model.path)
        let memory = MemoryBudget(chosen: nil)
        let limit = 5
        // Its thread is not started: nothing leaves.
        let images = ImageDecoding(outbox: try Outbox(loops: 1), queue: limit)
        func order(_ connection: UInt64) throws -> ImageOrder {
            ImageOrder(
                origin: Self.origin(connection), model: loaded, files: [[]], lease: try #require(memory.take(1)),
                maximumPixels: 1, totalPixels: 1, byteCount: 1
            ) { _ throws(ResponseError) in throw .deadlineExceeded }
        }
        for index in 0..<limit { #expect(images.submit(try order(UInt64(index % 2))) == .admitted) }
        guard case .refused = images.submit(try order(3)) else {
            Issue.record("more than \(limit) wait")
            return
        }
        images.cancel(ConnectionID(0))
        #expect(images.jobCount == limit / 2)
        #expect(images.submit(try order(3)) == .admitted)
    }

    /// Whoever sends the largest files leaves as many bytes to others as it takes, and has the whole where it is alone.
    @Test func largeImagesThatWaitLeaveRoomForOthers() throws {
        let model = try TemporaryModel(.tiny())
        let loaded = try Model.load(folder: model.path)
        let memory = MemoryBudget(chosen: nil)
        let images = ImageDecoding(outbox: try Outbox(loops: 1), queue: 1000)
        func isAdmitted(_ connection: UInt64, _ byteCount: Int) throws -> Bool {
            let order = ImageOrder(
                origin: Self.origin(connection), model: loaded, files: [[]], lease: try #require(memory.take(1)),
                maximumPixels: 1, totalPixels: 1, byteCount: byteCount
            ) { _ throws(ResponseError) in throw .deadlineExceeded }
            return images.submit(order) == .admitted
        }
        let part = ImageDecoding.capacity / 16
        var count = 0
        while try isAdmitted(1, part) { count += 1 }
        #expect(count == 8)
        #expect(try isAdmitted(2, part) && isAdmitted(3, part))
        for connection in 1...3 { images.cancel(ConnectionID(UInt64(connection))) }
        #expect(try isAdmitted(4, ImageDecoding.capacity) && !isAdmitted(5, 1))
    }

    /// What the network has no room for is not decoded first: an order is refused as soon as that is sure, when it
    /// comes or by the sizes in its headers.
    @Test func imagesAreRefusedBeforeTheyAreDecoded() throws {
        let oracle = Oracle.tiny(transformations: .everyStep)
        let folder = try TemporaryModel(oracle)
        let memory = MemoryBudget(chosen: nil)
        let served = try ServedModel(
            folder: folder.path, options: ModelOptions(), threads: 1, maxBatch: 1,
            memory: ModelMemory(budget: memory, passes: ImagePasses(budget: memory) {}))
        let image = base64(try oracle.file(1))
        func outcome(
            _ parameters: String, images: Int = 1, _ isFull: @escaping @Sendable (Bool) -> Bool
        ) throws -> RequestHandler.Outcome {
            let images = Array(repeating: "\"\(image)\"", count: images).joined(separator: ",")
            let handler = RequestHandler(
                configuration: ServerConfiguration(models: .single(folder.path)), threads: 1, memory: memory,
                refusal: { _, inPieces, _ in
                    (inPieces.map(isFull) ?? (isFull(false) && isFull(true))) ? .seconds(1) : nil
                }, token: nil)
            let line =
                #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"images":[\#(images)]\#(parameters)}}"#
            var parser = RequestParser()
            return try Array(line.utf8).withUnsafeBytes { bytes in
                guard case .single(let incoming) = parser.parse(bytes) else { throw TestFailure("a batch: \(line)") }
                return handler.outcome(
                    of: try incoming.request.get(), models: ModelSet(models: ["tiny": served], defaultName: "tiny"),
                    isDraining: false, readiness: { .ready }, isAuthorized: true,
                    address: ReplyAddress(loop: 0, connection: ConnectionID(1), id: RequestID(1), batch: nil),
                    arrival: .now, statistics: { ByteBuffer() })
            }
        }
        func isRefused(_ parameters: String, _ isFull: @escaping @Sendable (Bool) -> Bool) throws -> Bool {
            guard case .failure(let error) = try outcome(parameters, isFull) else { return false }
            #expect(error.code == .overloaded)
            return true
        }
        #expect(try isRefused("", { _ in true }))
        let sample = #","transform":{"mode":"sample"}"#
        #expect(try isRefused(sample, { !$0 }))
        // It may be larger than the patch, or not: its header will tell.
        for isLarger in [true, false] {
            guard case .images(let order) = try outcome("", { $0 == isLarger }) else {
                Issue.record("refused, and may have room")
                continue
            }
            order.decode(order.files.indices) { true }
            switch order.result() {
            case .success: #expect(isLarger)
            case .failure(let error): #expect(!isLarger && error.code == .overloaded)
            }
        }
        // Nor is decoded what nobody waits for any more: each file is asked for before its header and its pixels.
        for wanted in 0...6 {
            guard case .images(let order) = try outcome("", images: 3, { _ in false }) else {
                Issue.record("refused, and there is room")
                continue
            }
            var asked = 0
            order.decode(order.files.indices) {
                asked += 1
                return asked <= wanted
            }
            switch order.result() {
            case .success: #expect(wanted == 6 && asked == 6)
            case .failure(let error): #expect(error.code == .deadlineExceeded && asked == wanted + 1)
            }
        }
    }

    /// Deadlines of a millisecond, behind work of many: none of them is answered, and nothing else is lost.
    @Test func deadlinesOfWaitingRequests() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--max-batch", "4"])
        let client = try server.connect()
        // One JSON-RPC batch, which arrives at one time, however long this machine takes to go through it.
        let work = oracle.embedLine(id: "0", (0..<128).map { UInt64($0) })
        let rest = (1..<100).map { id in
            oracle.embedLine(id: "\(id)", [1, 2, 3, 4], #","deadline_ms":\#(id % 2 == 0 ? 1 : 1e6)"#)
        }
        let reply = try client.ask("[" + ([work] + rest).joined(separator: ",") + "]")
        let replies = array(reply.value)
        #expect(replies.compactMap { int($0["id"]) }.sorted() == Array(0..<100))
        for reply in replies {
            let id = try #require(int(reply["id"]))
            let isLate = id > 0 && id % 2 == 0
            #expect(reply["error"]?["code"] == (isLate ? -32008 : nil), "\(id)")
            if !isLate { #expect(array(reply["result"]?["embeddings"]).count == (id == 0 ? 128 : 4), "\(id)") }
        }
        #expect(try client.isQuiet())
    }

    /// A connection has at most 1,024 requests in flight, however deep the queue is: its further lines are not read
    /// until some are answered, and other connections' are.
    @Test func oneConnectionHasSoManyRequestsInFlight() throws {
        let oracle = Oracle.wide(transformations: .everyStep)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--queue", "1000000", "--event-loops", "1"])
        let (greedy, other) = (try server.connect(), try server.connect())
        // What each takes to compute is many times what it takes to read; the server does not live to see the end.
        let line = oracle.embedLine([1], #","transform":{"mode":"mean","samples":200,"seed":1}"#)
        let writer = LineWriter(greedy, Array(repeating: line, count: 1500))
        func inFlight() throws -> Int {
            try #require(int(other.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result?["queue"]?["in_flight"]))
        }
        let limit = 1024
        try waitUntil("they are never so many") { try inFlight() >= limit }
        // A turn of the loop's, in which a connection's lines are read, lies between two answers.
        for _ in 0..<100 { #expect(try inFlight() <= limit) }
        server.send(SIGKILL)
        writer.join()
    }

    @Test func healthDoesNotWaitBehindWork() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let client = try server.connect()
        // Few enough that both lines are read in one turn.
        let work = oracle.embedLine(id: "1", Array(0..<24))
        #expect(work.utf8.count < 100 << 10)
        try client.send(work + "\n" + #"{"jsonrpc":"2.0","id":2,"method":"ready"}"# + "\n")
        #expect(try client.reply().id == 2)
        #expect(try client.reply().embeddings.count == 24)
    }
}
