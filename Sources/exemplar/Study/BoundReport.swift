import ExemplarNetwork
import Glibc
import JSONRPC

/// The bounds of one model, to be printed.
struct BoundReport {
    var model: String
    var seed: UInt64
    var measurement: BoundMeasurement
    var layers: LayerBounds

    /// For people.
    var text: String {
        let m = measurement
        let (logN, logM) = (m.sample.ceiling, m.restricted.ceiling)
        var rows = [["z", "bound, nats", "bits", "of ln N", "top-1"]]
        func row(_ name: String, _ estimate: BoundMeasurement.Estimate) -> [String] {
            [
                name, estimate.bound.text(3), estimate.bound.text(3, times: 1 / log(2)),
                fixed(100 * estimate.bound.mean / estimate.ceiling, 1) + " %", estimate.top1.text(1, times: 100) + " %",
            ]
        }
        rows.append(row("g(T x)", m.sample))
        let averages = [rows[0]] + m.averages.map { row("ĝ_\($0.draws)(x)", $0.estimate) }
        let steps = [["step", "bound, nats", "bits", "of ln N", "top-1"]] + m.steps.map { row($0.name, $0.estimate) }
        let fitted =
            [["layer", "class means, nats", "kernel, nats"]]
            + layers.layers.map { [$0.name, $0.means.text(3), $0.kernel.text(3)] }
        return """
            \(model): \(m.exemplars) of \(m.classes) exemplars, \(m.draws) draws each, seed \(seed). ± is a 95 % \
            interval over exemplars.
            ln N = \(fixed(logN, 5)) nats, \(fixed(logN / log(2), 5)) bits: what no bound exceeds.

            I(x; z) is at least, with the network's head as q, for one draw:
            \(aligned(rows))
            ... and for means of draws. These rows bound I(x; ĝ_K), the information of the mean, not that of one draw:
            \(aligned(averages))
            ... and for one draw of a single step of T:
            \(aligned(steps))
            How loose is the linear q? Told apart from the \(m.exemplars) exemplars measured alone, at most ln M = \
            \(fixed(logM, 5)) nats, g(T x) has \(m.restricted.bound.text(3)) by the head, and by a q fitted to \
            \(LayerBounds.fitted) other draws:
            \(aligned(fitted))
            By the head's logits times \(fixed(layers.combined.posterior.head, 2)) plus those of the embedding's \
            kernel times \(fixed(layers.combined.posterior.kernel, 2)): \(layers.combined.bound.text(3)) nats, \
            a gain of \(layers.combined.gain.text(3)) over the head alone on the same draws.

            A layer's features are its maps max-pooled over four quadrants; a linear layer's are its values. Every \
            number is a lower bound: of several for one layer the greatest counts.
            \(Self.tighter)

            """
    }

    /// What "the bound for a lower layer is tighter" can mean, and what it cannot.
    static let tighter = """
        I(x; lower layer) is at least I(x; upper layer), but with the layers above as its q a lower layer's bound is \
        the head's very number; only a better q of the layer's own can raise it.
        """

    /// For programs; the members are described in docs/method.md.
    var json: JSONValue {
        func estimate(_ estimate: BoundMeasurement.Estimate) -> [JSONValue.Member] {
            [
                .init("bound_nats", estimate.bound.json), .init("top1", estimate.top1.json),
                .init("ceiling_nats", .double(estimate.ceiling)),
            ]
        }
        let m = measurement
        return [
            "model": .string(model), "seed": .int(Int(clamping: seed)), "classes": .int(m.classes),
            "exemplars": .int(m.exemplars), "draws": .int(m.draws), "ln_n": .double(m.sample.ceiling),
            "g": .object(estimate(m.sample)),
            "g_mean": .array(m.averages.map { .object([.init("draws", .int($0.draws))] + estimate($0.estimate)) }),
            "steps": .array(m.steps.map { .object([.init("step", .string($0.name))] + estimate($0.estimate)) }),
            "g_among_measured": .object(estimate(m.restricted)),
            "combined": [
                "head_weight": .double(layers.combined.posterior.head),
                "kernel_weight": .double(layers.combined.posterior.kernel), "bound_nats": layers.combined.bound.json,
                "gain_nats": layers.combined.gain.json,
                "ceiling_nats": .double(m.restricted.ceiling),
            ],
            "layers": .array(
                layers.layers.map {
                    [
                        "layer": .string($0.name), "class_means_nats": $0.means.json, "kernel_nats": $0.kernel.json,
                        "ceiling_nats": .double(m.restricted.ceiling),
                    ]
                }),
        ]
    }
}

extension BoundReport {
    /// The bound against the number of draws averaged, by step, and by layer.
    var plot: Plot {
        let m = measurement
        func nats(_ estimates: [BoundMeasurement.Estimate]) -> Plot.Axis {
            let ends = estimates.map(\.bound).map { $0.mean - ($0.halfWidth.isFinite ? $0.halfWidth : 0) }
            let least = ends.filter(\.isFinite).min() ?? 0
            return Plot.Axis("nats", from: min(least, m.sample.ceiling - 0.1), to: m.sample.ceiling)
        }
        let logN: [(y: Double, label: String)] = [(m.sample.ceiling, "ln N")]
        func point(_ x: Int, _ interval: MeanInterval) -> Plot.Point {
            Plot.Point(x: Double(x), y: interval.mean, halfWidth: interval.halfWidth)
        }
        func marks(_ name: String, _ intervals: [MeanInterval]) -> Plot.Series {
            Plot.Series(name: name, points: intervals.enumerated().map { point($0, $1) }, isLine: false)
        }
        return Plot(
            panels: [
                Plot.Panel(
                    title: "Bound on I(x; ĝ_K)", x: Plot.Axis("K", categories: m.averages.map { "\($0.draws)" }),
                    y: nats(m.averages.map(\.estimate)),
                    series: [
                        Plot.Series(
                            name: "head", points: m.averages.enumerated().map { point($0, $1.estimate.bound) })
                    ], references: logN),
                Plot.Panel(
                    title: "Bound on I(x; g(T x)), one step of T",
                    x: Plot.Axis("", categories: m.steps.map(\.name)), y: nats(m.steps.map(\.estimate)),
                    series: [marks("head", m.steps.map(\.estimate.bound))], references: logN),
                Plot.Panel(
                    title: "A q of each layer's own, M exemplars",
                    x: Plot.Axis("", categories: layers.layers.map(\.name) + ["head", "both"]),
                    y: Plot.Axis("nats", to: m.restricted.ceiling),
                    series: [
                        Plot.Series(
                            name: "head", points: [point(layers.layers.count, m.restricted.bound)], isLine: false),
                        marks("kernel", layers.layers.map(\.kernel)),
                        marks("class means", layers.layers.map(\.means)),
                        Plot.Series(
                            name: "head and kernel", points: [point(layers.layers.count + 1, layers.combined.bound)],
                            isLine: false),
                    ], references: [(m.restricted.ceiling, "ln M")]),
            ], columns: 3,
            caption:
                "\(model): \(m.exemplars) of \(m.classes) exemplars, \(m.draws) draws each; 95 % intervals over "
                + "exemplars"
        )
    }
}
