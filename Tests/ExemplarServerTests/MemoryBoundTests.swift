import ExemplarNetwork
import Glibc
import Images
import JSONRPC
import TestSupport
import Testing
import Transformations

/// What clients can make a server hold, kind by kind: ids, batches that are collected, lines without an end, replies
/// that nobody takes. Each reaches its bound here, and others go on.
@Suite(.waiting) struct MemoryBoundTests {
    /// Bytes that requests, and lines, may take in these servers.
    private static let capacity = 8 << 20

    private static func server(_ oracle: Oracle, _ model: TemporaryModel, _ arguments: [String] = []) throws
        -> ServerProcess
    {
        let loaded = try Model.load(folder: model.path)
        let workers = try loaded.workersByteCount(maximumBatch: 64)
        let limit = loaded.weightByteCount + workers + 4 * capacity
        return try ServerProcess(model: model.path, ["--memory-limit", "\(limit)"] + arguments)
    }

    /// One that listens on a Unix domain socket too, whose buffers in the kernel are small.
    private static func unixServer(
        _ model: TemporaryModel
    ) throws -> (ServerProcess, path: (folder: String, socket: String)) {
        let folder = try temporaryFolder()
        let socket = folder + "/socket"
        return (try server(.tiny(), model, ["--write-timeout", "600", "--unix", socket]), (folder, socket))
    }

    private static func id(_ byteCount: Int, _ letter: String = "x") -> String {
        "\"" + String(repeating: letter, count: byteCount) + "\""
    }

    /// An id is held until its request is answered, and is as long as a client likes.
    @Test func ids() throws {
        // Slow in every build: requests are to come faster than they are answered.
        let oracle = Oracle.wide(side: 5)
        let model = try TemporaryModel(oracle)
        let server = try Self.server(oracle, model, ["--isa", "portable"])
        let client = try server.connect()
        let count = 24
        let line = oracle.embedLine(id: "\"\"", Array(0..<(isInstrumented ? 32 : 64)))
        let lines = (0..<count).map { line.replacing("\"\"", with: Self.id(1_000_000 + $0), maxReplacements: 1) }
        let writer = LineWriter(client, lines)
        var refused = 0
        for _ in 0..<count {
            let reply = try client.reply()
            if reply.code == nil { continue }
            #expect(reply.code == -32000 && int(reply.data?["retry_after_ms"]) ?? 0 > 0)
            refused += 1
        }
        writer.join()
        #expect((1..<count).contains(refused), "\(refused) of \(count) were refused")
        #expect(try client.ask(oracle.embedLine()).embeddings.count == 1)
    }

    /// The replies of a batch are held until the last of them is there: they count as waiting, so that whoever has
    /// megabytes of them is not read until they are gone.
    @Test func collectedReplies() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try Self.server(oracle, model, ["--isa", "portable"])
        let small = (0..<700).map { _ in #"{"jsonrpc":"2.0","id":\#(Self.id(4000)),"method":"live"}"# }
        // A few hundred bytes that are long work.
        let image = Raster(
            height: 100, width: 100, channels: .rgb, pixels: [UInt8](repeating: 9, count: 100 * 100 * 3))
        let file = "\"\(base64(try #require(image).png()))\""
        let files = Array(repeating: file, count: isInstrumented ? 2 : 12).joined(separator: ",")
        let slow = #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"images":[\#(files)],"pool":"max"}}"#
        let client = try server.connect()
        try client.send(line: "[" + (small + [slow]).joined(separator: ",") + "]")
        try client.send(line: HostileClientTests.live(7))
        guard case .array(let replies) = try client.reply().value else {
            throw TestFailure("the next line was read although megabytes were collected")
        }
        #expect(replies.count == 701)
        #expect(try client.reply().id == 7)
    }

    /// Pixels are taken by what the headers say, before any is decoded: a damaged file is refused for its size as a
    /// sound one is, and what was taken for it is given back.
    @Test func pixels() throws {
        let oracle = Oracle.wide(
            transformations: TransformationRanges(
                translation: 0.1, scale: 0.9...1.1, rotationDegrees: 10, contrast: nil, color: nil, hue: nil,
                border: .reflect))
        let model = try TemporaryModel(oracle)
        let server = try Self.server(oracle, model)
        let client = try server.connect()
        func ask(_ files: [[UInt8]]) throws -> TestReply {
            // Whoever has answered the one before may still hold it.
            try client.waitForMemory { $0.requests == 0 }
            let files = files.map { "\"\(base64($0))\"" }.joined(separator: ",")
            return try client.ask(
                #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"images":[\#(files)],"#
                    + #""transform":{"mode":"sample","seed":1}}}"#)
        }
        func image(_ height: Int, _ width: Int) throws -> [UInt8] {
            let pixels = [UInt8](repeating: 7, count: height * width * 3)
            return try #require(Raster(height: height, width: width, channels: .rgb, pixels: pixels)).png()
        }
        // 3 bytes a pixel for all, and again for the one that is being decoded: of 8 MiB, one of these takes 6 and
        // two 9.
        let large = try image(1000, 1000)
        #expect(try ask([large]).embeddings.count == 1)
        for file in [large, Array(large.prefix(60))] {
            let refused = try ask([large, file])
            #expect(refused.code == -32602 && refused.parameter == "images", "\(refused.line)")
            #expect(refused.message.contains("bytes of memory"), "\(refused.line)")
        }
        let small = try image(100, 100)
        #expect(try ask([large, small]).embeddings.count == 2)
        for damaged in [Array(large.prefix(60)), large.dropLast(20)] {
            let refused = try ask([small, damaged])
            #expect(refused.code == -32006 && refused.data?["index"] == 1, "\(refused.line)")
        }
        try client.waitForMemory { $0.requests == 0 }
    }

    /// A shape costs nothing but its digits: the bytes must be there before the network is planned for it.
    @Test func shapesWithoutTheirBytes() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try Self.server(oracle, model)
        let client = try server.connect()
        for patches in ["\"AAAA\"", "\"\",\"AAAA\""] {
            let claim = try client.ask(
                #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"patches":[\#(patches)],"shape":[1000,1000,3],"#
                    + #""pool":"max"}}"#)
            #expect(claim.code == -32602 && claim.parameter == "patches", "\(claim.line)")
        }
        let image = try client.ask(oracle.imageLine(1000, 1000))
        #expect(image.code == -32602 && image.parameter == "shape", "\(image.line)")
    }

    @Test func linesWithoutAnEnd() throws {
        let model = try TemporaryModel(.tiny())
        let server = try Self.server(.tiny(), model, ["--read-timeout", "600"])
        let good = try server.connect()
        let clients = try (0..<8).map { _ in try server.connect() }
        let start = ContinuousClock.now
        for client in clients { client.trySend(String(repeating: " ", count: 3_000_000).utf8) }
        let warning = "the lines that clients have begun take too much memory"
        try server.waitForLog(warning)
        #expect(try good.isQuiet())
        var served = 0
        for client in clients {
            client.trySend("\(HostileClientTests.live(1))\n".utf8)
            let reply = try client.reply()
            if reply.result?["status"] == "ok" {
                served += 1
                continue
            }
            #expect(reply.code == -32000 && reply.id == .null, "\(reply.line)")
            // In words, too.
            #expect(reply.data?["retry_after_ms"] == 100 && reply.message.contains("100 ms"), "\(reply.line)")
            #expect(try client.isClosedByServer())
        }
        // Whoever opens connections writes no log with them: once in ten seconds it may be written.
        let warnings = server.log.split(separator: "\n").count { $0.contains(warning) }
        #expect(warnings <= 1 + Int(start.duration(to: .now) / .seconds(10)), "\(warnings)")
        // Buffers double: two or three lines of this length fit.
        #expect((1..<clients.count).contains(served), "\(served) of \(clients.count) had room")
        #expect(try server.connect().isQuiet())
    }

    /// Whoever is closed for its line has the replies to its earlier requests first, and then hears why.
    @Test func aLineWithoutAnEndBehindARequest() throws {
        let oracle = Oracle.wide(transformations: .everyStep)
        let model = try TemporaryModel(oracle)
        let server = try Self.server(oracle, model, ["--read-timeout", "600"])
        let clients = try (0..<8).map { _ in try server.connect() }
        let transform = #","transform":{"mode":"mean","samples":\#(isInstrumented ? 10 : 100),"seed":1}"#
        for client in clients { try client.send(line: oracle.embedLine(id: "7", [1], transform)) }
        for client in clients { client.trySend(String(repeating: " ", count: 3_000_000).utf8) }
        try server.waitForLog("the lines that clients have begun take too much memory")
        var refused = 0
        for client in clients {
            client.trySend("\(HostileClientTests.live(1))\n".utf8)
            let replies = [try client.reply(), try client.reply()]
            // One that had room for its line hears of it at once.
            guard !replies.contains(where: { $0.result?["status"] == "ok" }) else { continue }
            refused += 1
            #expect(replies[0].embeddings.count == 1, "\(replies[0].line)")
            let last = replies[1]
            #expect(last.code == -32000 && last.id == .null && last.data?["retry_after_ms"] == 100, "\(last.line)")
            #expect(try client.isClosedByServer())
        }
        #expect(refused > 0)
    }

    /// What a connection keeps for its next line is given back, at once where lines that have begun need the room.
    @Test(arguments: [1, 3]) func storageOfLinesThatHaveEnded(loops: Int) throws {
        let model = try TemporaryModel(.tiny())
        let server = try Self.server(.tiny(), model, ["--event-loops", "\(loops)"])
        func line(_ byteCount: Int) -> String {
            HostileClientTests.live(1) + String(repeating: " ", count: byteCount)
        }
        let good = try server.connect()
        let clients = try (0..<2 * Self.capacity >> 16).map { _ in try server.connect() }
        for client in clients { #expect(try client.ask(line(61_000)).result?["status"] == "ok") }
        #expect(try good.ask(line(300_000)).result?["status"] == "ok")
        // None of them says anything meanwhile.
        try good.waitForMemory { $0.lines <= 64 << 10 }
        for client in clients { #expect(try client.ask(line(100_000)).result?["status"] == "ok") }
    }

    /// JSON-RPC batches that are answered at once, of clients that take no replies: what has no room is refused, and
    /// whoever takes replies is heard again.
    @Test func repliesToBatches() throws {
        let model = try TemporaryModel(.tiny())
        let (server, path) = try Self.unixServer(model)
        defer { rmdir(path.folder) }
        let good = try server.connect()
        let clients = try (0..<40).map { _ in try LineSocket(unixPath: path.socket) }
        let count = 1000
        let stats = (1...count).map { #"{"jsonrpc":"2.0","id":\#($0),"method":"stats"}"# }.joined(separator: ",")
        let line = "[\(stats)]"
        for client in clients { try client.send(line: line) }
        var most = 0
        try waitUntil("the lines are not read") {
            most = max(most, try good.memory().replies)
            let bytes = try good.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result?["bytes"]
            return try #require(int(bytes?["received"])) >= clients.count * line.utf8.count
        }
        #expect(most <= Self.capacity * 3 / 2, "\(most >> 20) MiB of replies")
        var (answered, refused) = (0, 0)
        for client in clients {
            let reply = try client.reply()
            if case .array(let replies) = reply.value {
                #expect(replies.count == count)
                answered += replies.count { $0["result"] != nil }
                refused += replies.count { $0["error"]?["code"] == -32000 }
            } else {
                #expect(reply.code == -32000 && reply.id == .null, "\(reply.line)")
                #expect(int(reply.data?["retry_after_ms"]) ?? 0 > 0)
                refused += count
            }
            #expect(try client.isQuiet())
        }
        #expect(answered > 0 && refused > 0 && answered + refused == clients.count * count)
        try good.waitForMemory { $0.replies == 0 }
    }

    /// An id comes back with every reply, and is as long as a line.
    @Test func idsThatNobodyTakes() throws {
        let model = try TemporaryModel(.tiny())
        let (server, path) = try Self.unixServer(model)
        defer { rmdir(path.folder) }
        let good = try server.connect()
        let clients = try (0..<40).map { _ in try LineSocket(unixPath: path.socket) }
        let line = #"{"jsonrpc":"2.0","id":\#(Self.id(1_000_000)),"method":"live"}"#
        for client in clients {
            try client.send(line: line)
            try good.waitForMemory { $0.lines <= 64 << 10 }
        }
        var refused = 0
        let held = try good.memory().replies
        #expect(held <= Self.capacity * 5 / 4, "\(held >> 20) MiB of replies")
        for client in clients where try client.reply().code == -32000 { refused += 1 }
        #expect((1..<clients.count).contains(refused), "\(refused) of \(clients.count) were refused")
        for client in clients { #expect(try client.isQuiet()) }
    }

    /// Replies that nobody takes: beyond a part of the memory, whoever has some waiting is not read any more.
    @Test func crowdedOutput() throws {
        let model = try TemporaryModel(.tiny())
        let server = try Self.server(.tiny(), model, ["--write-timeout", "600"])
        let good = try server.connect()
        let before = try allocated(good)
        let clients = try (0..<8).map { _ in try server.connect(receiveBuffer: 4096) }
        let line = Array(#"{"jsonrpc":"2.0","id":\#(Self.id(50_000)),"method":"live"}"#.utf8) + [0x0A]
        let lines = Array(repeating: line, count: 8).flatMap(\.self)
        // 10 MB each: less than a single connection may have waiting, and together ten times what all may.
        var sent = [Int](repeating: 0, count: clients.count)
        var (most, rests) = (0, 0)
        // Until the server takes no more of anybody, though it has had many turns to.
        while rests < 100 {
            rests += 1
            for (index, client) in clients.enumerated() where sent[index] < 10_000_000 {
                let count = client.trySend(lines[(sent[index] % line.count)...], isPatient: false)
                sent[index] += count
                if count > 0 { rests = 0 }
            }
            let held = try good.memory().replies
            if held > most { (most, rests) = (held, 0) }
        }
        // A quarter, and what each of them still got when the others had reached it.
        #expect(most > Self.capacity / 4 && most < Self.capacity / 4 + (4 << 20), "\(most >> 10) KiB of replies")
        #expect(try good.isQuiet(), "who takes replies is served")
        if let before, let after = try allocated(good) {
            #expect(after - before < 32 << 20, "\((after - before) >> 20) MiB are held")
        }
    }

    /// A client that has taken nearly all of a reply, and no more for now, holds hardly more than the rest of it.
    @Test func theEndOfALongReply() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--write-timeout", "600"])
        let good = try server.connect()
        let before = try allocated(good)
        let client = try server.connect(receiveBuffer: 64 << 10)
        // Some 25 MB: several times what the kernel takes.
        let line = oracle.embedLine(Array(0..<128), #","layers":["conv1"]"#)
        try client.send(line: line)
        var taken: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        var (most, rest) = (0, 0)
        try good.waitForMemory { memory in
            (most, rest) = (max(most, memory.replies), memory.replies)
            guard most == 0 || rest > most / 4 else { return true }
            for _ in 0..<8 {
                let count = recv(client.descriptor, &chunk, chunk.count, 0)
                try #require(count > 0)
                taken += chunk.prefix(count)
            }
            return false
        }
        #expect(rest > 0, "the end of it waits")
        if let before, let after = try allocated(good) {
            #expect(after - before < most / 2, "\((after - before) >> 20) of \(most >> 20) MiB are held")
        }
        let end = try #require(try client.readLine())
        let reply = String(decoding: taken, as: UTF8.self) + end
        #expect(most < reply.utf8.count / 4 * 5, "\(most) bytes for \(reply.utf8.count)")
        try good.send(line: line)
        #expect(try good.readLine() == reply)
    }

    /// Bytes that the server has allocated; nil under sanitizers, which have their own allocator without figures.
    private func allocated(_ client: LineSocket) throws -> Int? {
        // Longer than the figures are kept.
        usleep(120_000)
        let stats = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
        return int(stats?["allocator"]?["allocated"])
    }
}
