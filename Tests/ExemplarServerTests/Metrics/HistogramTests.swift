import TestSupport
import Testing

@testable import ExemplarServer

@Suite struct HistogramTests {
    /// A duration counts in the first bucket whose edge it does not exceed, by a search from the first one.
    @Test func everyDurationFindsItsBucket() {
        let seed: UInt64 = 20_261_128
        var random = SeededGenerator(seed: seed)
        let last = Histogram().counts.count - 1
        var durations: [Duration] = [.zero, .nanoseconds(-5), .nanoseconds(1), .seconds(1_000_000_000)]
        // Around every edge, and anywhere.
        for index in 0...last {
            for offset in -2...2 {
                durations.append(.nanoseconds(Int64((Histogram.edge(index) * 1e9).rounded()) + Int64(offset)))
            }
        }
        for _ in 0..<2000 {
            durations.append(
                .nanoseconds(Int64.random(in: 0..<(1 << Int64.random(in: 1...40, using: &random)), using: &random)))
        }
        for duration in durations {
            var histogram = Histogram()
            histogram.record(duration)
            let seconds = max(duration / .seconds(1), 0)
            let expected = (0..<last).first { seconds <= Histogram.edge($0) } ?? last
            #expect(histogram.counts.firstIndex(of: 1) == expected, "\(duration), seed \(seed)")
        }
    }
}
