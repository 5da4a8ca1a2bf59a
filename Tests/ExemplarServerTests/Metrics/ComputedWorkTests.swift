import ExemplarNetwork
import JSONRPC
import TestSupport
import Testing
import Transformations

/// The counters of work say what the network computed, no more.
@Suite(.waiting) struct ComputedWorkTests {
    private static let stats = #"{"jsonrpc":"2.0","id":1,"method":"stats"}"#
    private static let ranges = TransformationRanges(
        translation: 0.1, scale: 0.9...1.1, rotationDegrees: 10, contrast: nil, color: nil, hue: nil, border: .reflect)

    @Test func drawsBeyondAToleranceAreNotComputed() throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let client = try ServerProcess(model: model.path, threads: 1).connect()
        // Met by the first eight draws, however far they are apart.
        let transform = #","transform":{"mode":"mean","samples":4096,"seed":1,"tolerance":1e6}"#
        let reply = try client.ask(oracle.embedLine([1], transform))
        #expect(reply.result?["transform"]?["samples"] == [8])
        let stats = try client.ask(Self.stats).result
        // The batch in which they are may be larger.
        let patches = try #require(int(stats?["patches"]))
        #expect(patches >= 8 && patches <= 8 + 2 * 64, "\(patches)")
        #expect(try Self.batches(stats) == int(stats?["batches"]))
    }

    /// An image is no batch of patches, transformed pixels meet no network.
    @Test func imagesAndPixelsAreNoBatches() throws {
        let oracle = Oracle.wide(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let client = try ServerProcess(model: model.path, threads: 1).connect()
        #expect(try client.ask(oracle.imageLine(48, 24)).embeddings.count == 1)
        let patch = base64(oracle.patch(1))
        let reply = try client.ask(
            #"{"jsonrpc":"2.0","id":1,"method":"transform","params":{"patches":["\#(patch)"],"#
                + #""transform":{"mode":"mean","samples":5,"seed":1}}}"#)
        #expect(reply.code == nil, "\(reply.line)")
        let stats = try client.ask(Self.stats).result
        #expect(stats?["patches"] == 0 && stats?["batches"] == 0 && stats?["image_patches"] == 2, "\(stats)")
        #expect(stats?["latency_ms"]?["total"]?["count"] == 2)
    }

    /// The pass over an image whose client has left ends early, and the next image, for which there is no other thread,
    /// is computed.
    @Test func anImageThatNobodyWaitsForIsNotComputed() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--progress-timeout", "0.004"], threads: 1)
        let quiet = try server.connect()
        do {
            let leaving = try server.connect()
            try leaving.send(line: oracle.imageLine(800, 800))
            for attempt in 0... {
                let queue = try quiet.ask(Self.stats).result?["queue"]
                if queue?["in_flight"] == 1, queue?["image_depth"] == 0 { break }
                guard attempt < 100_000 else { throw TestFailure("the image does not start") }
            }
            leaving.resetOnClose()
        }
        #expect(try quiet.ask(oracle.imageLine(48, 24)).embeddings.count == 1)
        #expect(try quiet.ask(Self.stats).result?["image_patches"] == 2)
    }

    /// Of all sizes.
    private static func batches(_ stats: JSONValue?) throws -> Int {
        guard case .object(let sizes) = stats?["batch_sizes"] else { throw TestFailure("no batch sizes") }
        return sizes.reduce(0) { $0 + (int($1.value) ?? 0) }
    }
}
