import JSONRPC
import TestSupport
import Testing

/// Protocol §1 on a real socket: lines, however they come.
@Suite(.waiting) struct FramingTests {
    let oracle = Oracle.tiny()
    let model: TemporaryModel
    let server: ServerProcess

    init() throws {
        model = try TemporaryModel(oracle)
        server = try ServerProcess(model: model.path, ["--max-line-bytes", "4096"])
    }

    static let live = #"{"jsonrpc":"2.0","id":1,"method":"live"}"#
    static let alive = #"{"jsonrpc":"2.0","id":1,"result":{"status":"ok"}}"#

    @Test func carriageReturnsAndEmptyLines() throws {
        let client = try server.connect()
        try client.send("\n\r\n\r\n\n\(Self.live)\r\n\n\r\n\(Self.live)\n")
        #expect(try client.readLine() == Self.alive)
        #expect(try client.readLine() == Self.alive)
        #expect(try client.isQuiet())
    }

    @Test func aLineSplitAtEveryByte() throws {
        let client = try server.connect()
        let line = Array((oracle.embedLine(id: #""\u00e9 \\""#, [1, 2]) + "\r\n").utf8)
        try client.send(line)
        let whole = try client.readLine()
        for position in 1..<line.count {
            try client.send(line[..<position])
            // The fence of another connection makes the server see the first part before the rest is sent.
            if position % 64 == 0 { #expect(try server.connect().isQuiet()) }
            try client.send(line[position...])
            #expect(try client.readLine() == whole, "split at \(position)")
        }
        for byte in line { try client.send([byte]) }
        #expect(try client.readLine() == whole)
    }

    @Test func aLineTooLongThenAGoodOne() throws {
        let client = try server.connect()
        for length in [4097, 4098, 70_000, 1 << 20] {
            try client.send(String(repeating: "x", count: length - 1))
            // The answer comes as soon as the limit is passed, without the end of the line.
            if length > 4097 {
                #expect(try client.reply().code == -32007)
                try client.send("x\n")
            } else {
                try client.send("x\n")
                let reply = try client.reply()
                #expect(reply.code == -32007)
                #expect(reply.id == .null)
                #expect(reply.data?["max_line_bytes"] == 4096)
            }
            #expect(try client.isQuiet(), "after \(length)")
        }
        let padding = String(repeating: " ", count: 4096 - Self.live.utf8.count)
        try client.send(line: Self.live + padding)
        #expect(try client.readLine() == Self.alive)
    }

    @Test func whatIsNoJSONIsAnsweredAndTheConnectionGoesOn() throws {
        let client = try server.connect()
        for line in [
            "GET / HTTP/1.1", "Host: localhost", "{", "\"", "nul", "{\"a\":1,\"a\":2}", "[1,]", "{} {}",
            String(repeating: "[", count: 33) + String(repeating: "]", count: 33),
        ] {
            let reply = try client.ask(line)
            #expect(reply.code == -32700, "\(line)")
            #expect(reply.line.hasPrefix(#"{"jsonrpc":"2.0","id":null,"error":{"#))
        }
        for bytes: [UInt8] in [
            [0xFF, 0xFE], [0x22, 0xC0, 0xAF, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x00], [0x22, 0x01, 0x22],
        ] {
            try client.send(bytes + [0x0A])
            #expect(try client.reply().code == -32700, "\(bytes)")
        }
        #expect(try client.isQuiet())
    }

    @Test func anHTTPRequestAsABrowserSendsIt() throws {
        let client = try server.connect()
        try client.send("GET /metrics HTTP/1.1\r\nHost: localhost:7350\r\nAccept: */*\r\n\r\n")
        for _ in 0..<3 { #expect(try client.reply().code == -32700) }
        #expect(try client.isQuiet())
    }

    @Test func binaryNoise() throws {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<8 {
            let client = try server.connect()
            let noise = (0..<3000).map { _ in UInt8.random(in: 0...255, using: &random) }
            try client.send(noise + [0x0A])
            client.finishSending()
            while let line = try client.readLine() {
                #expect([-32700, -32600, -32007].contains(try TestReply(line).code ?? 0), "\(line)")
            }
        }
        #expect(try server.connect().isQuiet())
    }

    @Test func halfALineThenTheEnd() throws {
        for cut in [1, 20, Self.live.utf8.count] {
            let client = try server.connect()
            try client.send(Self.live.utf8.prefix(cut))
            client.finishSending()
            #expect(try client.readLine() == nil, "half a message has no answer")
        }
        #expect(try server.connect().isQuiet())
    }

    @Test func aHalfClosedConnectionIsAnswered() throws {
        let client = try server.connect()
        let seeds = Array(UInt64(0)..<40)
        for seed in seeds { try client.send(line: oracle.embedLine(id: "\(seed)", [seed])) }
        client.finishSending()
        var answered: Set<Int> = []
        while let line = try client.readLine() {
            let reply = try TestReply(line)
            #expect(reply.embeddings.count == 1)
            if let id = int(reply.id) { #expect(answered.insert(id).inserted) }
        }
        #expect(answered == Set(seeds.map(Int.init)))
    }

    @Test func aHundredThousandPipelinedRequests() throws {
        let count = isInstrumented ? 10_000 : 100_000
        let client = try server.connect()
        let writer = LineWriter(client, (0..<count).map { #"{"jsonrpc":"2.0","id":\#($0),"method":"ready"}"# })
        var seen = [Bool](repeating: false, count: count)
        for _ in 0..<count {
            guard let line = try client.readLine(), line.hasSuffix(#","result":{"status":"ok"}}"#),
                let id = Int(line.dropFirst(#"{"jsonrpc":"2.0","id":"#.count).prefix { $0.isNumber }), !seen[id]
            else { throw TestFailure("an answer is missing, wrong or there twice") }
            seen[id] = true
        }
        writer.join()
        #expect(!seen.contains(false))
        #expect(try client.isQuiet())
    }
}
