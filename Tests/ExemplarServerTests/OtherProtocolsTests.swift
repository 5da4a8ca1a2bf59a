import TestSupport
import Testing

/// Clients of other protocols: each is answered or turned away, none is left waiting, and the server goes on.
@Suite(.waiting) struct OtherProtocolsTests {
    /// What each says first.
    static let openings: [(name: String, bytes: [UInt8])] = [
        ("HTTP/1.1", Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)),
        ("HTTP/1.1 with a body", Array("POST /embed HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}".utf8)),
        ("HTTP/2", Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]),
        // RFC 8446, §4.1.2: a ClientHello whose bytes hold no line feed.
        ("TLS 1.3", [0x16, 3, 1, 0, 60, 1, 0, 0, 56, 3, 3] + Array(100..<132) + [0, 0, 2, 0x13, 1, 1, 0]),
        ("SSH", Array("SSH-2.0-OpenSSH_9.6\r\n".utf8)), ("SMTP", Array("EHLO localhost\r\n".utf8)),
        ("Redis", Array("*1\r\n$4\r\nPING\r\n".utf8)),
        // Protocol version 3.0, and no line feed before the answer.
        ("PostgreSQL", [0, 0, 0, 8, 4, 210, 22, 47]),
        ("PROXY, version 2", [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10, 0x20, 0, 0, 0]),
        ("JSON-RPC with the headers of LSP", Array("Content-Length: 2\r\n\r\n{}".utf8)),
        ("one byte", [0x80]), ("zeros", [UInt8](repeating: 0, count: 100)),
    ]

    private static var noise: [(name: String, bytes: [UInt8])] {
        [1, 100, 5000, 100_000].flatMap { count in
            [true, false].map { hasLineFeeds in
                var random = SeededGenerator(seed: UInt64(count))
                let bytes = (0..<count).map { _ in UInt8.random(in: 0x80...0xFF, using: &random) }
                return ("noise, \(count) bytes", hasLineFeeds ? bytes + [0x0A] : bytes)
            }
        }
    }

    @Test func eachIsAnsweredOrClosed() throws {
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(
            model: model.path, ["--read-timeout", "0.4", "--max-line-bytes", "65536"])
        let good = try server.connect()
        let clients = try (Self.openings + Self.noise).map { name, bytes in
            let client = try server.connect()
            client.trySend(bytes)
            return (name, client, endsLine: bytes.contains(0x0A))
        }
        for (name, client, endsLine) in clients {
            // Silence for longer than anybody waits is an error of its own here.
            let line = try client.readLine()
            if let line {
                #expect([-32700, -32600, -32007].contains(try TestReply(line).code ?? 0), "\(name): \(line)")
            }
            #expect(line != nil || !endsLine, "\(name): a line has an answer")
        }
        // What was begun and never ended is cut off in the end; so is who is answered and goes away.
        for (name, client, _) in clients {
            client.finishSending()
            #expect(try client.isClosedByServer(), "\(name)")
        }
        #expect(try good.isQuiet())
    }
}
