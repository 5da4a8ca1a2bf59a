import ExemplarNetwork
import Glibc
import JSONRPC
import TestSupport
import Testing

/// `transform.tolerance`: the draws at which a mean stops, foretold in double precision.
@Suite(.waiting) struct ToleranceTests {
    private static let oracle = Oracle.tiny(transformations: .everyStep)
    private static let seed: UInt64 = 12
    private static let limit = 64

    /// What the definition says of the first K draws of a context.
    private struct Prediction {
        let rows: [[Double]]

        init(_ context: OracleContext) throws {
            let ranges = try #require(oracle.configuration.transformations)
            rows = (0..<limit).map { context.outputs(ranges.draw(seed: seed, $0))["fc1"]?.values ?? [] }
        }

        /// √(tr Σ̂ / K).
        func distance(_ count: Int) -> Double {
            let mean = mean(rows.prefix(count))
            let square = rows.prefix(count).reduce(0.0) { sum, row in
                zip(row, mean).reduce(sum) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            }
            return (square / Double(count - 1) / Double(count)).squareRoot()
        }

        /// r = √(tr Σ̂ / K) / ‖mean‖.
        func error(_ count: Int) -> Double {
            distance(count) / mean(rows.prefix(count)).reduce(0) { $0 + $1 * $1 }.squareRoot()
        }

        /// The draws after which the mean stops, and whether rounding could make it another number.
        func stop(_ tolerance: Double) -> (count: Int, isClear: Bool) {
            let looks = Array(stride(from: 8, through: limit, by: 8))
            let isClear = looks.allSatisfy { abs(error($0) / tolerance - 1) > 0.005 }
            return (looks.first { error($0) <= tolerance } ?? limit, isClear)
        }
    }

    @Test func aMeanStopsWhereTheDefinitionSays() throws {
        let model = try TemporaryModel(Self.oracle)
        let client = try ServerProcess(model: model.path).connect()
        let contexts = (0..<4).map { OracleContext(Self.oracle, height: 14, width: 13, seed: 30 + $0) }
        let predictions = try contexts.map { try Prediction($0) }
        let dimension = Double(predictions[0].rows[0].count)
        var stops: Set<Int> = []
        // Between the errors that the first context has at 8, 16, 24, … draws, and above the first of them.
        for look in stride(from: 0, to: Self.limit, by: 8) {
            let tolerance = predictions[0].error(look + 8) * (look == 0 ? 1.1 : 1.03)
            let reply = try client.ask(
                OracleContext.line(
                    "embed", contexts,
                    #""transform":{"mode":"mean","samples":\#(Self.limit),"seed":\#(Self.seed),"#
                        + #""tolerance":\#(tolerance)}"#))
            let transform = try #require(reply.result?["transform"], "\(reply.line)")
            for (index, prediction) in predictions.enumerated() {
                let (count, isClear) = prediction.stop(tolerance)
                guard isClear else { continue }
                stops.insert(count)
                #expect(array(transform["samples"])[index] == .int(count), "context \(index), tolerance \(tolerance)")
                let row = try #require(string(reply.embeddings[index]).map(floats))
                #expect(row.count == Int(dimension))
                #expect(relativeRMS(row, mean(prediction.rows.prefix(count))) < 1e-3)
                let error = try #require(number(array(transform["standard_error"])[index]))
                #expect(abs(error * dimension.squareRoot() / prediction.distance(count) - 1) < 5e-3)
            }
        }
        #expect(stops.isSuperset(of: [8, 16, 24]) && stops.count >= 5, "\(stops.sorted())")
    }

    /// It stops at `samples` at the latest, whatever the error is then, and never between the multiples of eight.
    @Test func samplesAreTheMost() throws {
        let model = try TemporaryModel(Self.oracle)
        let client = try ServerProcess(model: model.path).connect()
        let context = OracleContext(Self.oracle, height: 14, width: 13, seed: 30)
        for (samples, tolerance, count) in [(20, 1e-9, 20), (20, 1e9, 8), (7, 1e9, 7)] {
            let reply = try client.ask(
                OracleContext.line(
                    "embed", [context],
                    #""transform":{"mode":"mean","samples":\#(samples),"seed":1,"tolerance":\#(tolerance)}"#))
            #expect(reply.result?["transform"]?["samples"] == [.int(count)], "\(reply.line)")
        }
    }
}
