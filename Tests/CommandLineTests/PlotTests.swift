import Testing

@testable import exemplar

@Suite struct PlotTests {
    @Test(arguments: [
        (0.0, 0.25, ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25"]), (0, 20, ["0", "5", "10", "15", "20"]),
        (6.43, 7.6, ["6.0", "6.5", "7.0", "7.5", "8.0"]), (-0.2, 0.7, ["-0.2", "0.0", "0.2", "0.4", "0.6", "0.8"]),
    ])
    func ticksAreRoundAndCoverTheRange(least: Double, greatest: Double, labels: [String]) {
        let axis = Plot.Axis("x", from: least, to: greatest)
        #expect(axis.ticks.map(\.label) == labels)
        #expect(axis.range.lowerBound <= least && axis.range.upperBound >= greatest - 1e-9)
    }

    @Test(arguments: [
        (0.0, 0.0), (1, 1), (2, 1), (1e30, 1e30), (-1e300, -1e300), (0, .infinity), (0, .nan), (.nan, 1), (1, .nan),
        (-.infinity, .infinity), (-1e308, 1e308), (0, .greatestFiniteMagnitude),
    ])
    func axesOfNothing(least: Double, greatest: Double) {
        let axis = Plot.Axis("x", from: least, to: greatest)
        #expect(axis.range.upperBound > axis.range.lowerBound)
        #expect((2...7).contains(axis.ticks.count))
        #expect(axis.ticks.allSatisfy { axis.range.contains($0.position) && !$0.label.contains("nan") })
    }

    @Test(arguments: [(-1e30, 7.0), (0, 1e300), (-1e300, 1e300), (0, 1e-300), (3e20, 4e20)])
    func axesOfAnySize(least: Double, greatest: Double) {
        let axis = Plot.Axis("x", from: least, to: greatest)
        #expect((2...7).contains(axis.ticks.count))
        let slack = 1e-9 * (greatest - least)
        #expect(axis.range.lowerBound <= least && axis.range.upperBound >= greatest - slack)
        #expect(axis.ticks.allSatisfy { !$0.label.contains("inf") })
    }

    /// One estimate that is none leaves the others their axis.
    @Test func aBoundThatIsNoNumberIsDrawn() {
        let estimate = BoundMeasurement.Estimate(bound: MeanInterval([3, 4]), top1: MeanInterval([0, 1]), ceiling: 5)
        var none = estimate
        none.bound = MeanInterval([.nan, 1])
        let measurement = BoundMeasurement(
            classes: 148, exemplars: 2, draws: 2, sample: none, averages: [(1, none), (2, estimate)],
            steps: [("none", none)], restricted: none)
        let bound = CombinedPosterior.Bound(posterior: .head, bound: none.bound, gain: none.bound)
        let report = BoundReport(
            model: "m", seed: 1, measurement: measurement, layers: LayerBounds(layers: [], combined: bound))
        #expect(report.plot.panels[0].y.range.contains(3))
        #expect(!report.plot.svg.contains("nan"))
    }

    @Test func theDocumentIsWellFormed() {
        let points = [
            Plot.Point(x: 0, y: 1, halfWidth: 0.5), Plot.Point(x: 1, y: .nan),
            Plot.Point(x: 2, y: 3, halfWidth: .infinity),
        ]
        let panel = Plot.Panel(
            title: "a < b & c", x: Plot.Axis("x", to: 2), y: Plot.Axis("y", to: 4),
            series: [
                Plot.Series(name: "line", points: points), Plot.Series(name: "marks", points: points, isLine: false),
            ], references: [(2, "limit")])
        let svg = Plot(panels: [panel, panel, panel], columns: 2, caption: "").svg
        #expect(svg.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"680\""))
        #expect(svg.contains("a &lt; b &amp; c"))
        #expect(!svg.contains("nan") && !svg.contains("inf"))
        // Three panels with two marks of each of two series.
        #expect(svg.split(separator: "<circle").count - 1 == 12)
        #expect(svg.split(separator: "<g ").count == svg.split(separator: "</g>").count)
    }

    /// A legend that is wider than the picture goes on in another row; names without a colour of their own are dashed.
    @Test func aLongLegendIsWrapped() throws {
        func svg(_ count: Int) -> String {
            let series = (0..<count).map { index in
                Plot.Series(name: "representation \(index)", points: [Plot.Point(x: 0, y: 1), Plot.Point(x: 1, y: 2)])
            }
            let panel = Plot.Panel(title: "", x: Plot.Axis("x", to: 1), y: Plot.Axis("y", to: 2), series: series)
            return Plot(panels: [panel], columns: 1, caption: "").svg
        }
        func places(_ svg: String) throws -> [(x: Double, y: Double)] {
            try svg.split(separator: "\n").filter { $0.contains(">representation ") }.map { line in
                let parts = line.split(separator: "\"")
                return (try #require(Double(parts[1])), try #require(Double(parts[3])))
            }
        }
        func height(_ svg: String) throws -> Double {
            try #require(Double(svg.split(separator: "\"")[5]))
        }
        // Two such names have no place side by side in a picture of one panel.
        let places = try places(svg(9))
        #expect(Set(places.map(\.x)).count == 1 && Set(places.map(\.y)).count == 9)
        let height = try height(svg(9))
        #expect(places.allSatisfy { $0.y < height })
        #expect(!svg(7).contains("stroke-dasharray") && svg(9).contains("stroke-dasharray"))
    }

    @Test func fixedDecimals() {
        #expect(fixed(2.995732, 5) == "2.99573")
        #expect(fixed(-0.04, 1) == "0.0")
        #expect(fixed(-1.25, 2) == "-1.25")
        #expect(fixed(0.999, 2) == "1.00")
        #expect(fixed(7, 0) == "7")
        #expect(fixed(.nan, 1) == "nan" && fixed(-.infinity, 1) == "-inf" && fixed(1e300, 1) == "inf")
    }
}
