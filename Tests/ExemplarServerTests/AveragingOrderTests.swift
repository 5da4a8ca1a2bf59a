import ExemplarNetwork
import Glibc
import JSONRPC
import TestSupport
import Testing

/// For each draw the layers are computed, pooled, scaled and concatenated; then comes the mean, and `normalize` last of
/// all. What `classify` averages are logits. Each in double precision from the pixels on.
@Suite(.waiting) struct AveragingOrderTests {
    private static let oracle: Oracle = {
        var oracle = Oracle.tiny(transformations: .everyStep)
        oracle.configuration.featureScales = ["conv1": 0.25, "fc1": 3]
        return oracle
    }()
    private static let seed: UInt64 = 77
    private static let contexts = (0..<3).map { OracleContext(oracle, height: 13, width: 15, seed: 50 + $0) }
    /// Float32 against doubles over maps of T_α, in which colours amplify rounding.
    private static let tolerance = 1e-3

    let model: TemporaryModel
    let client: LineSocket

    init() throws {
        model = try TemporaryModel(Self.oracle)
        client = try ServerProcess(model: model.path).connect()
    }

    private static func outputs(_ context: OracleContext, draws: Int) throws -> [[String: Oracle.Map]] {
        let ranges = try #require(oracle.configuration.transformations)
        return (0..<draws).map { context.outputs(ranges.draw(seed: seed, $0)) }
    }

    @Test(arguments: [1, 2, 5]) func layersArePooledScaledConcatenatedAveragedNormalized(_ samples: Int) throws {
        let names = ["conv1", "fc1", "logits"]
        let scales = [0.25, 3, 1]
        let reply = try client.ask(
            OracleContext.line(
                "embed", Self.contexts,
                #""layers":["logits","fc1","conv1"],"pool":"quadrant","normalize":"l2","#
                    + #""transform":{"mode":"mean","samples":\#(samples),"seed":\#(Self.seed)}"#))
        #expect(reply.result?["layers"] == .array(names.map(JSONValue.string)), "\(reply.line)")
        for (index, context) in Self.contexts.enumerated() {
            let rows = try Self.outputs(context, draws: samples).map { outputs in
                try zip(names, scales).flatMap { try #require(outputs[$0.0]).quadrants(scale: $0.1) }
            }
            let mean = mean(rows)
            let length = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
            let row = try #require(string(reply.embeddings[index]).map(floats))
            #expect(row.count == mean.count)
            #expect(relativeRMS(row, mean.map { $0 / length }) < Self.tolerance, "context \(index)")
        }
    }

    @Test func otherPoolingsAreAveragedLikeIt() throws {
        for pool in ["none", "max", "mean"] {
            let reply = try client.ask(
                OracleContext.line(
                    "embed", Self.contexts,
                    #""layers":"all","pool":"\#(pool)","#
                        + #""transform":{"mode":"mean","samples":4,"seed":\#(Self.seed)}"#))
            for (index, context) in Self.contexts.enumerated() {
                let rows = try Self.outputs(context, draws: 4).map { outputs in
                    try ["conv1", "fc1"].flatMap { name in
                        let map = try #require(outputs[name])
                        return pool == "none" ? map.values : pool == "max" ? map.maxima : map.means
                    }
                }
                let row = try #require(string(reply.embeddings[index]).map(floats), "\(reply.line)")
                #expect(row.count == rows[0].count)
                #expect(relativeRMS(row, mean(rows)) < Self.tolerance, "\(pool), context \(index)")
            }
        }
    }

    @Test func classesAreThoseOfTheMeanLogits() throws {
        let reply = try client.ask(
            OracleContext.line(
                "classify", Self.contexts,
                #""top":3,"transform":{"mode":"mean","samples":6,"seed":\#(Self.seed)}"#))
        let classes = array(reply.result?["classes"])
        #expect(classes.count == Self.contexts.count, "\(reply.line)")
        for (context, row) in zip(Self.contexts, classes) {
            let logits = mean(try Self.outputs(context, draws: 6).map { try #require($0["logits"]).values })
            let sum = log(logits.reduce(0) { $0 + exp($1) })
            let order = logits.indices.sorted { logits[$0] > logits[$1] }
            #expect(array(row).map { int($0["index"]) } == order)
            for (entry, index) in zip(array(row), order) {
                let logarithm = try #require(number(entry["log_probability"]))
                #expect(abs(logarithm - (logits[index] - sum)) < 1e-3)
                let probability = try #require(number(entry["probability"]))
                #expect(abs(probability - exp(logarithm)) < 1e-12)
            }
        }
    }
}
