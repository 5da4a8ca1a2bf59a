import Glibc
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

    /// Against the durations themselves in order: a quantile is the middle of the bucket that has the one asked for.
    @Test func quantilesAreThoseOfTheDurations() throws {
        let seed: UInt64 = 4
        var random = SeededGenerator(seed: seed)
        for count in [1, 2, 3, 10, 99, 100, 101, 1000] {
            var histogram = Histogram()
            // From 10 µs to 90 s, as many in each octave.
            let seconds = (0..<count).map { _ in 1e-5 * exp(Double.random(in: 0...16, using: &random)) }
            for value in seconds { histogram.record(.nanoseconds(Int64(value * 1e9))) }
            #expect(histogram.count == UInt64(count))
            #expect(abs(histogram.sum - seconds.reduce(0, +)) <= Double(count) * 1e-9)
            let sorted = seconds.sorted()
            for fraction in [0, 0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 1] {
                let rank = max(1, Int((Double(count) * fraction).rounded(.up)))
                let ratio = try #require(histogram.quantile(fraction)) / sorted[rank - 1]
                // An eighth of an octave to either side, and what a duration has lost to whole nanoseconds.
                #expect((0.917...1.0906).contains(ratio), "\(fraction) of \(count), seed \(seed)")
            }
        }
    }

    /// Shorter than the first bucket's edge, and longer than the last one's: as near as the histogram knows.
    @Test func quantilesAtTheEnds() {
        var histogram = Histogram()
        #expect(histogram.quantile(0.5) == nil)
        histogram.record(.zero)
        #expect(histogram.quantile(0.5) == 1e-5)
        histogram.record(.seconds(1000))
        histogram.record(.seconds(1000))
        #expect(histogram.quantile(0.3) == 1e-5)
        #expect((80...110).contains(histogram.quantile(0.5) ?? 0))
    }
}
