/// How often which durations came, in buckets that grow by a factor of 2^¼ from 10 µs to about 100 s: a quantile is off
/// by at most a fifth, and by a tenth on average.
struct Histogram: Sendable {
    private static let least = 1e-5
    private static let bucketsPerOctave = 4.0
    private static let bucketCount = 94

    private(set) var counts = [UInt64](repeating: 0, count: bucketCount)
    private(set) var count: UInt64 = 0
    /// Seconds, all together.
    private(set) var sum = 0.0

    /// The upper edge of bucket `index` in seconds; the last bucket takes all that is longer.
    static func edge(_ index: Int) -> Double { least * exp2Quarter(index) }

    private static func exp2Quarter(_ index: Int) -> Double {
        // 2^(index / 4) without a library call: whole octaves, and one of four factors.
        let factors = [1, 1.189207115002721, 1.4142135623730951, 1.681792830507429]
        return Double(sign: .plus, exponent: index / 4, significand: 1) * factors[index % 4]
    }

    mutating func record(_ duration: Duration) {
        let seconds = max(duration / .seconds(1), 0)
        // From the octave on: with the lock of all threads' figures held, some steps instead of some dozens.
        let octave = seconds > Self.least ? Int((seconds / Self.least).exponent) : 0
        var index = min(octave * Int(Self.bucketsPerOctave), Self.bucketCount - 1)
        while index < Self.bucketCount - 1, seconds > Self.edge(index) { index += 1 }
        counts[index] += 1
        count += 1
        sum += seconds
    }

    /// The duration in seconds that a part `fraction` of all stay below; nil where nothing was recorded.
    func quantile(_ fraction: Double) -> Double? {
        guard count > 0 else { return nil }
        let wanted = max(1, (Double(count) * fraction).rounded(.up))
        var seen = 0.0
        for (index, bucket) in counts.enumerated() {
            seen += Double(bucket)
            guard seen >= wanted else { continue }
            // In the middle of the bucket, by ratio.
            return index == 0 ? Self.edge(0) : (Self.edge(index - 1) * Self.edge(index)).squareRoot()
        }
        return Self.edge(Self.bucketCount - 1)
    }

    /// Every octave's upper edge in seconds, and how many durations were at most as long; longer ones are left over.
    var octaves: [(bound: Double, cumulative: UInt64)] {
        var cumulative: UInt64 = 0
        var result: [(bound: Double, cumulative: UInt64)] = []
        for (index, bucket) in counts.dropLast().enumerated() {
            cumulative += bucket
            if index % Int(Self.bucketsPerOctave) == 0 { result.append((Self.edge(index), cumulative)) }
        }
        return result
    }
}
