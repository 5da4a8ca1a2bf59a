import Batching
import CPlatform
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
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
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

    /// Reads until nothing is left in the socket, and lets the connection send, until less than `rest` bytes wait.
    private func take(untilBelow rest: Int) throws {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while connection.output.count >= rest {
            guard connection.flush() != nil else { throw TestFailure("the connection broke") }
            guard recv(client, &chunk, chunk.count, 0) > 0 else { throw TestFailure("nothing to read: \(errno)") }
        }
    }

    /// A client that has taken most of what waited for it no longer holds the memory of all.
    @Test func whatWasTakenIsGivenBack() throws {
        defer { close(client) }
        for _ in 0..<14 { connection.append(reply(1 << 20), batch: nil) }
        #expect(connection.waitingCapacity >= 14 << 20)
        for rest in [4 << 20, 1 << 20, 100_000] {
            try take(untilBelow: rest)
            #expect(connection.waitingByteCount < rest)
            #expect(connection.waitingCapacity <= max(4 * rest, 64 << 10), "\(rest)")
        }
        try take(untilBelow: 1)
        #expect(connection.waitingCapacity == 0 && connection.output.capacity <= 16 << 10)
    }

    /// What is collected counts by its storage, too.
    @Test func collectedStorage() {
        defer { close(client) }
        connection.begin(batch: 1, expecting: 3)
        for _ in 0..<2 {
            connection.append(reply(300_000), batch: 1)
            #expect(connection.waitingCapacity >= connection.collectedByteCount && connection.output.isEmpty)
        }
        connection.append(reply(1), batch: 1)
        #expect(connection.waitingCapacity == connection.output.capacity && connection.collectedByteCount == 0)
    }

    /// A client that is slow, but as fast as its replies come: it holds hardly more than waits for it.
    @Test func aSteadyStreamHoldsWhatWaits() throws {
        defer { close(client) }
        for _ in 0..<2000 { connection.append(reply(1000), batch: nil) }
        var chunk = [UInt8](repeating: 0, count: 1000)
        for _ in 0..<20_000 {
            connection.append(reply(1000), batch: nil)
            guard connection.flush() != nil else { throw TestFailure("the connection broke") }
            _ = recv(client, &chunk, chunk.count, 0)
        }
        let output = connection.output
        #expect(output.count > 1_000_000 && output.capacity < output.count * 3 / 2 + 256 << 10, "\(output.capacity)")
    }

    /// Megabytes that were copied for every reply would hold up the other connections.
    @Test func longRepliesStayWhereTheyAre() {
        defer { close(client) }
        connection.begin(batch: 1, expecting: 4)
        for _ in 0..<3 {
            let long = reply(1 << 20)
            for batch: UInt64? in [nil, 1] {
                let before = connection.waitingCapacity
                connection.append(long, batch: batch)
                let grown = connection.waitingCapacity - before
                #expect((long.capacity...long.capacity + 1024).contains(grown), "by \(grown)")
            }
        }
        connection.append(reply(1), batch: 1)
        #expect(connection.output.count == 6 << 20 + 1 + 3 + 3)
    }
}
