import Batching
import Glibc
import JSONRPC
import TestSupport
import Testing

@testable import ExemplarServer

/// Replies that wait for their client, on a connection without a server: what is counted of them, and what holds them.
@Suite struct WaitingRepliesTests {
    private let connection: Connection
    private let client: Int32

    init() throws {
        var ends: [Int32] = [0, 0]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw TestFailure("socketpair: \(errno)") }
        client = ends[1]
        connection = Connection(
            id: ConnectionID(1), descriptor: ends[0], maxLineBytes: 1, isAuthorized: true, now: .now)
    }

    private func reply(_ count: Int) -> ByteBuffer {
        var reply = ByteBuffer()
        reply.append(maximum: count) { room in
            room.initializeMemory(as: UInt8.self, repeating: UInt8(ascii: "x"))
            return count
        }
        return reply
    }

    /// Replies to JSON-RPC batches that overlap: what is collected is their bytes with brackets and commas, and nothing
    /// once all are complete.
    @Test func collectedBytes() {
        defer { close(client) }
        var random = SeededGenerator(seed: 12)
        let counts: [UInt64: Int] = [1: 5, 2: 1, 3: 40, 4: 2]
        for (batch, count) in counts { connection.begin(batch: batch, expecting: count) }
        let order = counts.flatMap { Array(repeating: $0.key, count: $0.value) }.shuffled(using: &random)
        var collected: [UInt64: (bytes: Int, replies: Int)] = [:]
        var output = 0
        for batch in order {
            let size = Int.random(in: 0...1000, using: &random)
            connection.append(reply(size), batch: batch)
            collected[batch, default: (0, 0)].bytes += size + 1
            collected[batch, default: (0, 0)].replies += 1
            if let full = collected[batch], full.replies == counts[batch] {
                output += full.bytes + 2
                collected[batch] = nil
            }
            #expect(connection.collectedByteCount == collected.values.reduce(0) { $0 + $1.bytes }, "seed 12")
            #expect(connection.output.count == output, "seed 12")
        }
        #expect(collected.isEmpty)
    }
}
