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
}
