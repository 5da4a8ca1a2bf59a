import Glibc

/// Small panels of lines side by side, as a self-contained SVG 1.1 document.
struct Plot {
    struct Point {
        var x: Double
        var y: Double
        /// Half the height of an interval around y.
        var halfWidth = 0.0
    }

    /// Points of one meaning: a line with a band, or marks with bars where the axis has categories.
    struct Series {
        var name: String
        var points: [Point]
        var isLine = true
    }

    struct Axis {
        var label: String
        var range: ClosedRange<Double>
        var ticks: [(position: Double, label: String)]

        /// From `least` or below to `greatest` or above, with about five round ticks; 0 … 1 where an end is none.
        init(_ label: String, from least: Double = 0, to greatest: Double) {
            self.label = label
            // Beyond these a round tick may be infinite.
            let isDrawable = max(abs(least), abs(greatest)) <= 1e300
            let (least, greatest) = isDrawable ? (least, greatest) : (0, 1)
            // Ends whose difference is lost beside them, or none, are moved apart.
            let span = max(greatest > least ? greatest - least : 1, 1e-9 * abs(least), 5e-6)
            let decade = pow(10, log10(span / 5.5).rounded(.down))
            let step = decade * ([1, 2, 5].first { span <= 5.5 * decade * $0 } ?? 10)
            let first = (least / step).rounded(.down)
            let last = ((least + span) / step - 1e-9).rounded(.up)
            range = first * step...max(last, first + 1) * step
            let digits = step < 0.0999 ? 2 : step < 0.999 ? 1 : 0
            ticks = (0...Int(max(last - first, 1))).map { index in
                let position = (first + Double(index)) * step
                return (position, abs(position) < 1e12 ? fixed(position, digits) : "\(position)")
            }
        }

        /// Positions 0, 1, 2, ..., each with a word.
        init(_ label: String, categories: [String]) {
            self.label = label
            range = -0.5...Double(max(categories.count, 1)) - 0.5
            ticks = categories.enumerated().map { (Double($0), $1) }
        }
    }

    struct Panel {
        var title: String
        var x: Axis
        var y: Axis
        var series: [Series]
        /// Dashed horizontal lines, labelled.
        var references: [(y: Double, label: String)] = []
    }

    var panels: [Panel]
    /// Panels in a row.
    var columns: Int
    /// Under the panels.
    var caption: String

    /// Okabe and Ito's colours, which people with any colour vision tell apart (Wong 2011).
    private static let colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
    private static let (width, height) = (340.0, 250.0)
    private static let (left, right, top, bottom) = (56.0, 14.0, 28.0, 46.0)

    /// The document.
    var svg: String {
        let names = panels.reduce(into: [String]()) { names, panel in
            for series in panel.series where !names.contains(series.name) { names.append(series.name) }
        }
        let across = min(columns, max(panels.count, 1))
        let rows = (panels.count + across - 1) / across
        let width = Double(across) * Self.width
        let legend = legendPlaces(names, width: width)
        let height = Double(rows) * Self.height + 48 + (legend.last?.y ?? 0)
        var text = """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(fixed(width, 0))" height="\(fixed(height, 0))" \
            viewBox="0 0 \(fixed(width, 0)) \(fixed(height, 0))" font-family="sans-serif" font-size="11">
            <rect width="100%" height="100%" fill="#ffffff"/>

            """
        for (index, panel) in panels.enumerated() {
            let (x, y) = (Double(index % across) * Self.width, Double(index / across) * Self.height)
            text += "<g transform=\"translate(\(fixed(x, 1)) \(fixed(y, 1)))\">\n" + draw(panel, names) + "</g>\n"
        }
        if names.count > 1 {
            for (index, name) in names.enumerated() {
                let (x, y) = (legend[index].x, Double(rows) * Self.height + 14 + legend[index].y)
                text += line((x, y), (x + 18, y), "\(Self.stroke(index)) stroke-width=\"3\"")
                text += label(name, x + 24, y + 4)
            }
        }
        return text + label(caption, Self.left, height - 10, "fill=\"#555555\"") + "</svg>\n"
    }

    /// Where the names of the legend stand, in as many rows as they need.
    private func legendPlaces(_ names: [String], width: Double) -> [(x: Double, y: Double)] {
        var (x, y) = (Self.left, 0.0)
        return names.map { name in
            let extent = 44 + 7 * Double(name.count)
            if x > Self.left, x + extent > width { (x, y) = (Self.left, y + 18) }
            defer { x += extent }
            return (x, y)
        }
    }

    private static func color(_ index: Int) -> String { colors[index % colors.count] }

    /// Names that have no colour of their own are dashed.
    private static func stroke(_ index: Int) -> String {
        "stroke=\"\(color(index))\"" + (index < colors.count ? "" : " stroke-dasharray=\"4 2\"")
    }

    private func draw(_ panel: Panel, _ names: [String]) -> String {
        func place(_ x: Double, _ y: Double) -> (Double, Double) {
            let (horizontal, vertical) = (panel.x.range, panel.y.range)
            let (across, down) = (Self.width - Self.left - Self.right, Self.height - Self.top - Self.bottom)
            return (
                Self.left + across * (x - horizontal.lowerBound) / (horizontal.upperBound - horizontal.lowerBound),
                Self.top + down * (vertical.upperBound - y) / (vertical.upperBound - vertical.lowerBound)
            )
        }
        let (x, y) = (panel.x.range, panel.y.range)
        var text = label(panel.title, Self.left, 17, "font-weight=\"bold\"")
        for tick in panel.y.ticks {
            let start = place(x.lowerBound, tick.position)
            text += line(start, place(x.upperBound, tick.position), "stroke=\"#e5e5e5\"")
            text += label(tick.label, start.0 - 6, start.1 + 4, "text-anchor=\"end\"")
        }
        // Words that would run into one another stand at an angle.
        let longest = panel.x.ticks.map(\.label.count).max() ?? 0
        let tilted = Double(longest * panel.x.ticks.count) * 6.5 > Self.width - Self.left - Self.right
        func tilt(_ start: (Double, Double)) -> String {
            "text-anchor=\"end\" transform=\"rotate(-28 \(fixed(start.0, 1)) \(fixed(start.1 + 12, 1)))\""
        }
        for tick in panel.x.ticks {
            let start = place(tick.position, y.lowerBound)
            text += line(start, (start.0, start.1 + 4), "stroke=\"#555555\"")
            text += label(tick.label, start.0, start.1 + 16, tilted ? tilt(start) : "text-anchor=\"middle\"")
        }
        text += line(place(x.lowerBound, y.lowerBound), place(x.upperBound, y.lowerBound), "stroke=\"#555555\"")
        text += line(place(x.lowerBound, y.lowerBound), place(x.lowerBound, y.upperBound), "stroke=\"#555555\"")
        let middle = (Self.left + Self.width - Self.right) / 2
        text += label(panel.x.label, middle, Self.height - 12, "text-anchor=\"middle\"")
        let center = (Self.top + Self.height - Self.bottom) / 2
        text += label(
            panel.y.label, 14, center, "text-anchor=\"middle\" transform=\"rotate(-90 14 \(fixed(center, 1)))\"")
        for reference in panel.references {
            let end = place(x.upperBound, reference.y)
            text += line(
                place(x.lowerBound, reference.y), end, "stroke=\"#555555\" stroke-dasharray=\"5 3\"")
            text += label(reference.label, end.0, end.1 - 4, "text-anchor=\"end\" fill=\"#555555\"")
        }
        for series in panel.series {
            text += draw(series, names.firstIndex(of: series.name) ?? 0, place)
        }
        return text
    }

    private func draw(_ series: Series, _ index: Int, _ place: (Double, Double) -> (Double, Double)) -> String {
        let (color, stroke) = (Self.color(index), Self.stroke(index))
        let points = series.points.filter { $0.x.isFinite && $0.y.isFinite }
        func path(_ places: [(Double, Double)]) -> String {
            places.map { fixed($0.0, 1) + "," + fixed($0.1, 1) }.joined(separator: " ")
        }
        func end(_ point: Point, _ sign: Double) -> (Double, Double) {
            place(point.x, point.y + sign * (point.halfWidth.isFinite ? point.halfWidth : 0))
        }
        var text = ""
        if series.isLine {
            let band = points.map { end($0, 1) } + points.reversed().map { end($0, -1) }
            text += "<polygon points=\"\(path(band))\" fill=\"\(color)\" fill-opacity=\"0.18\"/>\n"
            let middle = path(points.map { place($0.x, $0.y) })
            text += "<polyline points=\"\(middle)\" fill=\"none\" \(stroke) stroke-width=\"1.6\"/>\n"
        }
        for point in points {
            if !series.isLine {
                text += line(end(point, 1), end(point, -1), "\(stroke) stroke-width=\"1.6\"")
            }
            let (x, y) = place(point.x, point.y)
            text += "<circle cx=\"\(fixed(x, 1))\" cy=\"\(fixed(y, 1))\" r=\"2.4\" fill=\"\(color)\"/>\n"
        }
        return text
    }

    private func line(_ start: (Double, Double), _ end: (Double, Double), _ style: String) -> String {
        "<line x1=\"\(fixed(start.0, 1))\" y1=\"\(fixed(start.1, 1))\" x2=\"\(fixed(end.0, 1))\" "
            + "y2=\"\(fixed(end.1, 1))\" \(style)/>\n"
    }

    private func label(_ text: String, _ x: Double, _ y: Double, _ style: String = "") -> String {
        let escaped = text.flatMap { character -> String in
            switch character {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            default: String(character)
            }
        }
        return "<text x=\"\(fixed(x, 1))\" y=\"\(fixed(y, 1))\" \(style)>\(String(escaped))</text>\n"
    }
}
