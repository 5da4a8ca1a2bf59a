import Glibc

/// One row of a linear head, or a mean of rows: with it the head of a mean, since the head is linear.
struct Logits {
    var values: [Double]

    init(_ row: UnsafeBufferPointer<Float>) { values = row.map(Double.init) }

    init(_ values: [Double]) { self.values = values }

    /// ln softmax at `row`: never above 0, and the same if a constant is added to all logits.
    func logProbability(of row: Int) -> Double {
        let greatest = values.reduce(-.infinity, max)
        let sum = values.reduce(0) { $0 + exp($1 - greatest) }
        return values[row] - greatest - log(sum)
    }

    /// Whether no other logit is as great.
    func isTop(_ row: Int) -> Bool {
        !values.indices.contains { $0 != row && values[$0] >= values[row] }
    }

    /// The logits of some rows alone.
    func restricted(to rows: [Int]) -> Logits { Logits(rows.map { values[$0] }) }
}

extension [Logits] {
    /// The means of each `count` in turn, as many as are whole: the head at ĝ_K for independent sets of draws.
    func means(of count: Int) -> [Logits] {
        stride(from: 0, through: self.count - count, by: count).map { start in
            var mean = self[start]
            for (place, logits) in self[start..<start + count].dropFirst().enumerated() {
                // In this form the mean of equal draws is that draw, to the bit.
                let share = 1 / Double(place + 2)
                for index in mean.values.indices {
                    mean.values[index] += (logits.values[index] - mean.values[index]) * share
                }
            }
            return mean
        }
    }
}
