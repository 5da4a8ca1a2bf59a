/// Draws of one representation of every exemplar.
struct RepresentationDraws: Sendable {
    let exemplars: Int
    /// For each exemplar.
    let count: Int
    let dimension: Int
    /// Floats from one draw to the next: the representation's dimension in whole vectors.
    let stride: Int
    /// [exemplar][draw][stride], with zeros after the dimension.
    let values: [Float]

    /// - Parameter rows: [exemplar][draw][dimension].
    init(_ rows: [[[Float]]]) {
        exemplars = rows.count
        count = rows.first?.count ?? 0
        dimension = rows.first?.first?.count ?? 0
        stride = (dimension + 15) / 16 * 16
        let padding = [Float](repeating: 0, count: stride - dimension)
        var values: [Float] = []
        values.reserveCapacity(exemplars * count * stride)
        for row in rows.joined() {
            values += row
            values += padding
        }
        self.values = values
    }

    /// The mean squared distance of all draws from their common mean.
    var meanSquare: Double {
        let total = exemplars * count
        guard total > 0 else { return 0 }
        return (0..<stride).reduce(0.0) { sum, lane in
            let lanes = (0..<total).lazy.map { Double(values[$0 * stride + lane]) }
            let center = mean(lanes)
            return sum + mean(lanes.map { ($0 - center) * ($0 - center) })
        }
    }

    /// One draw, with the zeros after it.
    func row(_ exemplar: Int, _ draw: Int) -> ArraySlice<Float> {
        let start = (exemplar * count + draw) * stride
        return values[start..<start + stride]
    }

    /// The mean of an exemplar's draws, with the zeros after it.
    func center(of exemplar: Int) -> [Double] {
        var center = [Double](repeating: 0, count: stride)
        for draw in 0..<count {
            for (lane, value) in row(exemplar, draw).enumerated() {
                center[lane] += (Double(value) - center[lane]) / Double(draw + 1)
            }
        }
        return center
    }
}
