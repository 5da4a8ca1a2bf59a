/// Latencies in buckets whose width grows with them, so that every quantile is right to within 1/128, from a nanosecond
/// to more than an hour, in fixed memory (Tene's HdrHistogram: linear within an octave).
struct LatencyHistogram {
    private static let bitsPerOctave = 7
    private static let perOctave = 1 << bitsPerOctave
    private static let octaves = 35

    private var counts = [UInt64](repeating: 0, count: (octaves + 1) * perOctave)
    private(set) var count: UInt64 = 0
    /// The longest, exactly.
    private(set) var max = Duration.zero
    private var sum = 0.0

    mutating func record(_ latency: Duration) {
        let nanoseconds = Swift.max(latency / .nanoseconds(1), 0)
        counts[Self.index(UInt64(Swift.min(nanoseconds, 1e15)))] += 1
        count += 1
        sum += nanoseconds
        max = Swift.max(max, latency)
    }

    var mean: Duration? { count > 0 ? .nanoseconds(sum / Double(count)) : nil }

    /// The latency that a part `fraction` of all do not exceed: the upper end of its bucket. Nil where there are none.
    func quantile(_ fraction: Double) -> Duration? {
        guard count > 0 else { return nil }
        let wanted = Swift.max(1, (Double(count) * fraction).rounded(.up))
        var seen = 0.0
        for (index, bucket) in counts.enumerated() where bucket > 0 {
            seen += Double(bucket)
            if seen >= wanted { return Swift.min(max, .nanoseconds(Self.upperEnd(index))) }
        }
        return max
    }

    /// Below an octave's worth the bucket is the number itself; above, its highest eight bits and how many follow.
    private static func index(_ value: UInt64) -> Int {
        let highest = UInt64.bitWidth - 1 - (value | 1).leadingZeroBitCount
        let shift = Swift.max(0, highest - bitsPerOctave)
        return Swift.min(shift * perOctave + Int(value >> UInt64(shift)), (octaves + 1) * perOctave - 1)
    }

    /// The largest value of a bucket.
    private static func upperEnd(_ index: Int) -> Double {
        let shift = Swift.max(0, index / perOctave - 1)
        return Double(index - shift * perOctave + 1) * Double(UInt64(1) << UInt64(shift)) - 1
    }
}
