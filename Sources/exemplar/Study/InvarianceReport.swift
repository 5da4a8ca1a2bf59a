import JSONRPC

/// The invariance of one model's representations, to be printed.
struct InvarianceReport {
    var model: String
    var seed: UInt64
    var measurement: InvarianceMeasurement

    /// For people.
    var text: String {
        let names = measurement.steps.first?.curves.map(\.name) ?? []
        var rows = [["step", "strength"] + names]
        for step in measurement.steps {
            for (index, strength) in step.strengths.enumerated() {
                rows.append(
                    [step.name, fixed(strength, strength < 1 ? 3 : 1) + " " + step.unit]
                        + step.curves.map { $0.distances[index].text(3) })
            }
        }
        let noise = measurement.noise.map { "\($0.distance.text(3)) for \($0.name)" }
        return """
            \(model): \(measurement.patches) patches, seed \(seed). ‖f(T x) − f(x)‖ over the root mean square distance \
            between different patches; ± is a 95 % interval over patches.

            \(aligned(rows))
            Two estimates of ĝ from other draws lie apart by \(noise.joined(separator: ", ")). The same draws are used \
            here for every patch, as the server does for one seed.
            \(verdict)

            """
    }

    /// At the end of which steps' ranges averaging makes a representation more invariant, in a sentence.
    var verdict: String {
        guard let most = measurement.noise.last?.name else { return "" }
        func names(_ isMeant: (MeanInterval) -> Bool) -> String? {
            let names = measurement.steps.filter { isMeant($0.gain) }.map(\.name)
            return names.isEmpty ? nil : names.joined(separator: ", ")
        }
        let parts = [
            names { $0.mean > $0.halfWidth }.map { "\(most) moves less than g under \($0)" },
            names { -$0.mean > $0.halfWidth }.map { "more under \($0)" },
            names { !(abs($0.mean) > $0.halfWidth) }.map { "neither clearly less nor more under \($0)" },
        ]
        return "At the end of the ranges, by the differences patch by patch: "
            + parts.compactMap { $0 }.joined(separator: "; ") + "."
    }

    /// For programs; the members are described in docs/method.md.
    var json: JSONValue {
        [
            "model": .string(model), "seed": .int(Int(clamping: seed)), "patches": .int(measurement.patches),
            "steps": .array(
                measurement.steps.map { step in
                    [
                        "step": .string(step.name), "unit": .string(step.unit),
                        "strengths": .array(step.strengths.map(JSONValue.double)),
                        "curves": .array(
                            step.curves.map { curve in
                                [
                                    "representation": .string(curve.name),
                                    "distances": .array(curve.distances.map(\.json)),
                                ]
                            }),
                        "gain": step.gain.json,
                    ]
                }),
            "noise": .array(
                measurement.noise.map { ["representation": .string($0.name), "distance": $0.distance.json] }),
        ]
    }

    /// One panel a step, on one scale of distances.
    var plot: Plot {
        let greatest =
            measurement.steps.flatMap(\.curves).flatMap(\.distances).map { interval in
                interval.mean + (interval.halfWidth.isFinite ? interval.halfWidth : 0)
            }.filter(\.isFinite).max() ?? 1
        return Plot(
            panels: measurement.steps.map { step in
                Plot.Panel(
                    title: step.name, x: Plot.Axis("strength, \(step.unit)", to: step.strengths.last ?? 1),
                    y: Plot.Axis("distance / other patches", to: greatest),
                    series: step.curves.map { curve in
                        Plot.Series(
                            name: curve.name,
                            points: [Plot.Point(x: 0, y: 0)]
                                + zip(step.strengths, curve.distances).map {
                                    Plot.Point(x: $0, y: $1.mean, halfWidth: $1.halfWidth)
                                })
                    })
            }, columns: 3,
            caption: "\(model): \(measurement.patches) patches; bands are 95 % intervals over patches")
    }
}
