import ExemplarNetwork
import TestSupport
import Testing

/// Means and errors of rows against their definitions: two passes over all rows, in double precision.
@Suite struct RunningMomentsTests {
    private static func moments(_ rows: some Collection<[Float]>, dimension: Int) -> RunningMoments {
        let moments = RunningMoments(dimension: dimension)
        for row in rows { row.withUnsafeBufferPointer { moments.add($0) } }
        return moments
    }

    private static func isClose(_ value: Double?, _ reference: Double, _ tolerance: Double = 1e-12) -> Bool {
        value.map { abs($0 - reference) <= tolerance * abs(reference) } ?? false
    }

    /// K rows of D values each, around means far from zero: √(tr Σ̂ / K), its part of a dimension, and r.
    @Test(arguments: [1, 2, 7, 128]) func errorsAreThoseOfTheDefinition(_ dimension: Int) {
        var random = SeededGenerator(seed: UInt64(dimension))
        let rows = (0..<40).map { _ in
            (0..<dimension).map { Float($0 % 3 + 1) + Float.random(in: -1...1, using: &random) }
        }
        for count in [2, 3, 8, 40] {
            let some = rows.prefix(count)
            let moments = Self.moments(some, dimension: dimension)
            let columns = (0..<dimension).map { d in some.map { Double($0[d]) } }
            let means = columns.map { $0.reduce(0, +) / Double(count) }
            let variances = zip(columns, means).map { column, mean in
                column.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(count - 1)
            }
            let distance = (variances.reduce(0, +) / Double(count)).squareRoot()
            let length = means.map { $0 * $0 }.reduce(0, +).squareRoot()
            #expect(moments.count == count)
            #expect(Self.isClose(moments.expectedDistance, distance), "K = \(count)")
            #expect(Self.isClose(moments.relativeError, distance / length), "K = \(count)")
            #expect(Self.isClose(moments.standardError, distance / Double(dimension).squareRoot()), "K = \(count)")
            for d in 0..<dimension {
                // Rounded to float32 once.
                #expect(Self.isClose(Double(moments.mean(d)), means[d], 1e-7))
                #expect(
                    Self.isClose(Double(moments.standardError(d)), (variances[d] / Double(count)).squareRoot(), 1e-7))
            }
        }
    }

    @Test func whereThereIsNothingToDivideBy() {
        let single = Self.moments([[1, 2]], dimension: 2)
        #expect(single.relativeError == nil && single.expectedDistance == nil && single.standardError == nil)
        // The same row again and again, zeros among them, is certain; other rows around zero never are.
        #expect(Self.moments([[1, 0.1], [1, 0.1], [1, 0.1]], dimension: 2).relativeError == 0)
        #expect(Self.moments([[0, 0], [0, 0]], dimension: 2).relativeError == 0)
        #expect(Self.moments([[1, -2], [-1, 2]], dimension: 2).relativeError == .infinity)
    }
}
