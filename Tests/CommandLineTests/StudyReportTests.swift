import JSONRPC
import Testing

@testable import exemplar

/// What `bound` and `invariance` say of numbers made by hand, of which no two are the same.
@Suite struct StudyReportTests {
    /// ± 0.25, so that both ends are exact.
    private func interval(_ mean: Double, halfWidth: Double = 0.25) -> MeanInterval {
        var interval = MeanInterval([])
        interval.mean = mean
        interval.halfWidth = halfWidth
        return interval
    }

    private func estimate(_ bound: Double, ceiling: Double = 3.25) -> BoundMeasurement.Estimate {
        BoundMeasurement.Estimate(bound: interval(bound), top1: interval(bound / 8), ceiling: ceiling)
    }

    private func json(_ mean: Double) -> JSONValue {
        ["mean": .double(mean), "low": .double(mean - 0.25), "high": .double(mean + 0.25)]
    }

    private var bound: BoundReport {
        let measurement = BoundMeasurement(
            classes: 20, exemplars: 8, draws: 4, sample: estimate(1.125), averages: [(1, estimate(1.375))],
            steps: [("hue", estimate(1.625))], restricted: estimate(1.875, ceiling: 2.125))
        let combined = CombinedPosterior.Bound(
            posterior: CombinedPosterior(head: 1.2, kernel: 0.35), bound: interval(2.375), gain: interval(0.125))
        let layer = LayerBounds.Layer(name: "fc", means: interval(0.375), kernel: interval(0.625))
        return BoundReport(
            model: "small", seed: 7, measurement: measurement, layers: LayerBounds(layers: [layer], combined: combined))
    }

    @Test func theBoundIsJSON() throws {
        func estimate(_ bound: Double, ceiling: Double = 3.25) -> [JSONValue.Member] {
            [
                .init("bound_nats", json(bound)), .init("top1", json(bound / 8)),
                .init("ceiling_nats", .double(ceiling)),
            ]
        }
        #expect(
            try reparsed(bound.json) == [
                "model": "small", "seed": 7, "classes": 20, "exemplars": 8, "draws": 4, "ln_n": 3.25,
                "g": .object(estimate(1.125)),
                "g_mean": [.object([.init("draws", 1)] + estimate(1.375))],
                "steps": [.object([.init("step", "hue")] + estimate(1.625))],
                "g_among_measured": .object(estimate(1.875, ceiling: 2.125)),
                "combined": [
                    "head_weight": 1.2, "kernel_weight": 0.35, "bound_nats": json(2.375), "gain_nats": json(0.125),
                    "ceiling_nats": 2.125,
                ],
                "layers": [
                    [
                        "layer": "fc", "class_means_nats": json(0.375), "kernel_nats": json(0.625),
                        "ceiling_nats": 2.125,
                    ]
                ],
            ])
    }

    @Test func theBoundIsText() {
        for line in [
            "small: 8 of 20 exemplars, 4 draws each, seed 7.", "ln N = 3.25000 nats", "ln M = 2.12500 nats",
            "g(T x) has 1.875 ± 0.250 by the head", "kernel times 0.35: 2.375 ± 0.250 nats, a gain of 0.125 ± 0.250",
        ] {
            #expect(bound.text.contains(line), "\(line)")
        }
    }

    private func invariance(gains: [(step: String, gain: MeanInterval)]) -> InvarianceReport {
        let steps = gains.map { step, gain in
            InvarianceMeasurement.Step(
                name: step, unit: "turns", strengths: [0.05, 0.1],
                curves: [.init(name: "g", distances: [interval(0.375), interval(0.625)])], gain: gain)
        }
        let noise = [("ĝ_8", interval(0.875)), ("ĝ_32", interval(1.125, halfWidth: .infinity))]
        return InvarianceReport(
            model: "small", seed: 7,
            measurement: InvarianceMeasurement(
                patches: 9, steps: steps, noise: noise.map { (name: $0.0, distance: $0.1) }))
    }

    @Test func theInvarianceIsJSON() throws {
        #expect(
            try reparsed(invariance(gains: [("hue", interval(0.125))]).json) == [
                "model": "small", "seed": 7, "patches": 9,
                "steps": [
                    [
                        "step": "hue", "unit": "turns", "strengths": [0.05, 0.1],
                        "curves": [["representation": "g", "distances": [json(0.375), json(0.625)]]],
                        "gain": json(0.125),
                    ]
                ],
                "noise": [
                    ["representation": "ĝ_8", "distance": json(0.875)],
                    ["representation": "ĝ_32", "distance": ["mean": 1.125, "low": nil, "high": nil]],
                ],
            ])
    }

    @Test func theVerdictIsThatOfTheIntervals() {
        let report = invariance(gains: [
            ("scale", interval(0.375)), ("hue", interval(-0.375)), ("color", interval(0.125)),
            ("rotation", interval(-0.125)), ("contrast", interval(.nan)),
        ])
        #expect(
            report.verdict == """
                At the end of the ranges, by the differences patch by patch: ĝ_32 moves less than g under scale; more \
                under hue; neither clearly less nor more under color, rotation, contrast.
                """)
        #expect(report.text.contains(report.verdict))
    }

    /// A value written and read again.
    private func reparsed(_ json: JSONValue) throws -> JSONValue {
        var text = ByteBuffer()
        text.append(json: json)
        return try text.withUnsafeBytes { bytes in
            var scanner = JSONScanner()
            return try scanner.scan(bytes).value
        }
    }
}
