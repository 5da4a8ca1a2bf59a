import Batching
import ExemplarNetwork
import Glibc
import Images
import JSONRPC
import Platform
import TestSupport
import Testing

/// Clients with images of every size, with patches and with files, and reloads in between, in a server that has memory
/// for few of them at a time: every request is answered exactly once, and in the end nothing stays taken.
@Suite(.waiting) struct MemoryPressureTests {
    /// Sizes of images; the last ones never fit.
    private static let sizes = [(24, 25), (40, 30), (60, 90), (95, 96), (96, 96), (64, 64), (400, 400)]
    private static let requestCount = isInstrumented ? 6 : 40

    /// What a client got for its requests, by id.
    private struct Answers {
        var embeddings = 0
        var refused = 0
        var impossible = 0
    }

    @Test func everythingAtOnce() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let loaded = try Model.load(folder: model.path)
        let models = try loaded.weightByteCount + loaded.workersByteCount(maximumBatch: 8)
        let pass = try loaded.embedderByteCount(maximumBatch: 1, height: 96, width: 96, members: 2)
        // Two sets of models, and beside one of them one large pass and some small ones.
        let limit = 2 * models + 3 * pass
        let server = try ServerProcess(
            model: model.path, ["--memory-limit", "\(limit)", "--max-batch", "8", "--queue", "4096"])
        let watching = try server.connect()
        let before = try watching.memory()
        #expect(before.models == models && before.images == 0)

        let asking = try server.connect()
        // What each request must be answered with, whatever else is going on; nil for what never fits.
        var kinds: [(line: String, rows: [JSONValue]?)] = try (0..<5 as Range<UInt64>).map { seed in
            let line = oracle.embedLine([seed])
            return (line, try asking.ask(line).embeddings)
        }
        for (height, width) in Self.sizes {
            for line in [oracle.imageLine(height, width), try oracle.fileLine(height, width)] {
                let reply = try asking.ask(line)
                #expect(reply.code == nil || height == 400, "\(reply.line)")
                kinds.append((line, reply.code == nil ? reply.embeddings : nil))
            }
        }
        var clients: [(socket: LineSocket, writer: LineWriter, kinds: [Int])] = []
        for seed in 0..<6 {
            var random = SeededGenerator(seed: UInt64(seed))
            let chosen = (0..<Self.requestCount).map { _ in Int.random(in: kinds.indices, using: &random) }
            let lines = chosen.enumerated().map { id, kind in
                kinds[kind].line.replacing(#""id":1,"#, with: #""id":\#(id),"#, maxReplacements: 1)
            }
            let socket = try server.connect()
            clients.append((socket, LineWriter(socket, lines), chosen))
        }
        let reloading = Reloading(server)
        for (seed, client) in clients.enumerated() {
            var answered: Set<Int> = []
            var answers = Answers()
            for _ in 0..<Self.requestCount {
                let reply = try client.socket.reply()
                let id = try #require(int(reply.id))
                #expect(answered.insert(id).inserted, "seed \(seed): \(id) is answered twice")
                let rows = kinds[client.kinds[id]].rows
                switch reply.code {
                case nil:
                    answers.embeddings += 1
                    #expect(reply.embeddings == rows, "seed \(seed): \(id)")
                case -32000: answers.refused += 1
                default:
                    answers.impossible += 1
                    #expect(reply.code == -32602 && rows == nil, "seed \(seed): \(reply.line)")
                }
                if id % 8 == 0 { #expect(try watching.memory().total <= limit) }
            }
            client.writer.join()
            #expect(try client.socket.isQuiet())
            #expect(answers.embeddings > 0, "seed \(seed): \(answers)")
        }
        let outcomes = try reloading.end()
        #expect(outcomes > 0)
        #expect(try asking.ask(kinds[0].line).embeddings == kinds[0].rows)
        clients = []
        // What is kept for later images goes after some seconds, and replaced models as soon as nobody needs them; a
        // connection that rests keeps some storage for its next line.
        try watching.waitForMemory { memory in
            memory.models == before.models && memory.images == 0 && memory.requests == 0 && memory.replies == 0
                && memory.lines <= 16 << 10
        }
        let stats = try watching.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result
        #expect(stats?["queue"]?["in_flight"] == 0 && stats?["queue"]?["depth"] == 0)
    }

    /// Tells a server again and again to load its models, from a thread of its own.
    ///
    /// Unchecked: the thread only sends signals.
    private final class Reloading: @unchecked Sendable {
        private let server: ServerProcess
        private let isOver = Monitor(false)
        private var thread: JoinableThread?

        init(_ server: ServerProcess) {
            self.server = server
            thread = JoinableThread { [identifier = server.identifier, isOver] in
                while !isOver.withLock({ $0 }) {
                    kill(identifier, SIGHUP)
                    usleep(isInstrumented ? 300_000 : 30_000)
                }
            }
        }

        /// Stops, and tells how many reloads have come to an end, at least one.
        func end() throws -> Int {
            isOver.withLock { $0 = true }
            thread?.join()
            let stats = try server.connect()
            var count = 0
            try waitUntil("no reload ends:\n\(server.log)") {
                let reloads = try stats.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#).result?["reloads"]
                count = (int(reloads?["succeeded"]) ?? 0) + (int(reloads?["failed"]) ?? 0)
                return count > 0
            }
            return count
        }
    }
}
