import ExemplarNetwork
import JSONRPC
import TestSupport
import Testing

/// What `exemplar model` writes of a folder: how well it does what its golden vectors say, and with `--plan` how.
@Suite struct ModelPlanTests {
    private let model: TemporaryModel

    init() throws {
        let configuration = NetworkConfiguration(
            name: "plan", input: .init(height: 32, width: 32, channels: 3),
            preprocessing: .init(scale: 1.0 / 255, mean: [0.4, 0.4, 0.4], std: [0.3, 0.3, 0.3]),
            layers: [
                LayerConfiguration(
                    name: "conv1",
                    kind: .convolution(
                        outChannels: 32, kernel: Extent(7, 7), stride: Extent(2, 2), padding: Extent(3, 3),
                        activation: .relu)),
                LayerConfiguration(
                    name: "pool1",
                    kind: .maxPool(
                        kernel: Extent(2, 2), stride: Extent(2, 2), padding: Extent(0, 0), rounding: .floor)),
                LayerConfiguration(name: "fc", kind: .linear(outFeatures: 100, activation: .none)),
            ], embedding: "fc")
        model = try TemporaryModel(.random(configuration, seed: 21))
    }

    /// What the command writes.
    private func output(_ arguments: String...) throws -> String {
        let (status, text) = try BinaryProcess.output(["model", "--model", model.path] + arguments)
        #expect(status == 0)
        return text
    }

    /// The cells of the lines of a table: between any two are at least two spaces.
    private func cells(_ text: Substring) -> [[String]] {
        text.split(separator: "\n").map { line in
            line.split(separator: "  ").map { $0.trimmingPrefix(" ") }.filter { !$0.isEmpty }.map { String($0) }
        }
    }

    @Test func thePlanIsATableOfTheLayers() throws {
        let table = try #require(output("--plan").split(separator: "\n\n").last)
        let rows = cells(table)
        #expect(
            rows.first == [
                "layer", "algorithm", "tile", "blocking", "packed MB", "M multiply-adds", "by definition", "time",
            ])
        try #require(rows.count == 4, "a row for each layer")
        let plan = try Model.load(folder: model.path).plan
        func tile(_ entry: PlanEntry) -> String { "\(entry.tileRows) × \(entry.tileVectors)" }
        #expect(rows[1].prefix(4) == ["conv1", "direct 7x7", tile(plan[0]), plan[0].blocking], "\(rows[1])")
        #expect(rows[2].prefix(2) == ["pool1", "max-pool"], "\(rows[2])")
        #expect(rows[3].prefix(4) == ["fc", "linear F32", tile(plan[2]), plan[2].blocking], "\(rows[3])")
        #expect(rows[1].count == 8 && rows[3].count == 8)
        // 16 × 16 windows of 7 × 7 × 3, for 32 channels; 8 × 8 × 32 inputs, for 100 and with padding 112 outputs.
        #expect(rows[1][4...6] == ["0.02", "1.2", "1.2"], "\(rows[1])")
        #expect(rows[3][4...6] == ["0.92", "0.23", "0.20"], "\(rows[3])")
        let shares = rows.dropFirst().compactMap { row in
            row.last.flatMap { $0.hasSuffix(" %") ? Double($0.dropLast(2)) : nil }
        }
        #expect(abs(shares.reduce(0, +) - 100) < 0.5, "\(shares)")
        #expect(!(try output()).contains("algorithm"))
    }

    @Test func thePlanIsJSONToo() throws {
        var scanner = JSONScanner()
        let value = try Array(output("--plan", "--json").utf8.dropLast()).withUnsafeBytes {
            try scanner.scan($0).value
        }
        guard case .array(let plan)? = value["plan"] else {
            Issue.record("no plan")
            return
        }
        let entries = try Model.load(folder: model.path).plan
        #expect(plan.map { $0["tile"] } == entries.map { .array([.int($0.tileRows), .int($0.tileVectors)]) })
        #expect(plan.map { $0["blocking"] } == entries.map { .string($0.blocking) })
        #expect(plan.map { $0["share"] } == entries.map { .double($0.share) })
        #expect(plan.map { $0["layer"] } == ["conv1", "pool1", "fc"])
        #expect(plan.map { $0["effective_multiply_adds"] } == [.int(256 * 147 * 32), 0, .int(2048 * 100)])
        #expect(plan.map { $0["packed_bytes"] } == [.int(4 * (147 * 32 + 32)), 0, .int(4 * (2048 * 112 + 112))])
    }

    @Test(arguments: [
        (["--optimize", "throughput"], "F(8x8, 5x5, i)"), (["--optimize", "latency"], "F(4x4, 5x5)"),
        (["--accuracy", "fast"], "F(8x8, 5x5)"),
    ])
    func theOptionsChangeThePlan(_ options: [String], _ algorithm: String) throws {
        let planned = try TemporaryModel(.planned(), golden: 0)
        let (_, text) = try BinaryProcess.output(["model", "--model", planned.path, "--plan"] + options)
        let row = try #require(cells(text[...]).last { $0.first == "conv2" })
        #expect(row.dropFirst().first == algorithm, "\(row)")
    }

    /// As it was measured when the folder was loaded, against the oracle's golden vectors.
    @Test func theErrorIsAFigure() throws {
        let line = try #require(output().split(separator: "\n").first { $0.hasPrefix("self-test") })
        let match = try #require(line.wholeMatch(of: /self-test +passed, off by ([0-9.e-]+) of the RMS/), "\(line)")
        let error = try #require(Double(match.1))
        #expect(error > 0 && error < Accuracy.standard.tolerance, "\(line)")
    }
}
