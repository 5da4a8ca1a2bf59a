import ExemplarClient
import ExemplarNetwork
import JSONRPC
import TestSupport
import Testing

/// The client against a real server with narrow limits.
@Suite struct ClientTests {
    /// Patches whose embeddings are too long for one reply go out as several requests, in whatever encoding.
    @Test func repliesStayBelowTheServersLimit() throws {
        let oracle = LocalEmbeddingTests.oracle(channels: 3)
        let limit = 16 << 10
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(["--model", model.path, "--threads", "1", "--max-reply-bytes", "\(limit)"])
        let client = try Client(connectingTo: .tcp(host: "127.0.0.1", port: server.port), maxReplyBytes: limit)
        let count = 40
        let patchByteCount = oracle.configuration.input.count
        let patches = (0..<count * patchByteCount).map { UInt8(truncatingIfNeeded: $0 &* 7 + $0 / 251) }
        var options: [JSONValue.Member] = [.init("layers", "all")]
        let whole = try client.embed(patches: patches, patchByteCount: patchByteCount, options: options)
        #expect(whole.values.count == count * whole.dimension)
        #expect(count * whole.dimension * 4 > limit, "one reply would have held all")
        let last = try client.embed(
            patches: Array(patches.suffix(patchByteCount)), patchByteCount: patchByteCount, options: options)
        #expect(last.values == whole.values.suffix(whole.dimension))
        options.append(.init("encoding", "float"))
        #expect(
            try client.embed(patches: patches, patchByteCount: patchByteCount, options: options).values
                == whole.values)
        // Another choice of layers has another length.
        let embeddings = try client.embed(patches: patches, patchByteCount: patchByteCount)
        #expect(embeddings.dimension != whole.dimension && embeddings.values.count == count * embeddings.dimension)
    }

    /// A result of embeddings of two zeros each.
    private func embeddings(_ count: Int, of layer: String = "fc") -> String {
        let rows = Array(repeating: "\"AAAAAAAAAAA=\"", count: count).joined(separator: ",")
        return #"{"model":"m","layers":["\#(layer)"],"dim":2,"encoding":"base64","embeddings":[\#(rows)]}"#
    }

    private func answer(_ results: [String]) throws -> Result<Embeddings, ClientError> {
        let server = try ScriptedServer(results: results)
        let client = try Client(connectingTo: .tcp(host: "127.0.0.1", port: server.port))
        return Result { () throws(ClientError) in
            try client.embed(patches: [1, 2, 3, 4, 5, 6], patchByteCount: 2)
        }
    }

    /// The first request is of one patch, the second of two.
    @Test func eachPatchHasItsRow() throws {
        #expect(try answer([embeddings(1), embeddings(2)]).get().values == [0, 0, 0, 0, 0, 0])
        for counts in [[0, 2], [2, 1], [1, 1], [1, 3]] {
            guard case .failure(.notThisProtocol(_, let reason)) = try answer(counts.map { embeddings($0) }) else {
                Issue.record("\(counts) rows were taken for three patches'")
                continue
            }
            #expect(reason.contains("each patch"))
        }
    }

    @Test func aModelThatChangesIsNoTable() throws {
        guard case .failure(.modelChanged) = try answer([embeddings(1), embeddings(2, of: "conv1")]) else {
            Issue.record("two models' rows were taken for one's")
            return
        }
    }
}
