import Glibc

/// When the requests of an open loop are due: decided beforehand, whatever becomes of them. A client that waits for an
/// answer before it asks again would leave out the very requests that meet a slow server (Tene, "How NOT to measure
/// latency": coordinated omission).
struct ArrivalSchedule {
    enum Spacing: String, CaseIterable {
        /// Independent clients: a Poisson process, whose gaps are distributed exponentially.
        case exponential
        /// One gap as long as the other.
        case fixed
    }

    private let spacing: Spacing
    /// Requests a second.
    private let rate: Double
    private var random: SeededRandom
    private var count = 0.0
    private var last = 0.0

    /// - Parameter rate: requests a second, one of `LoadPlan.rates`.
    init(_ spacing: Spacing, rate: Double, seed: UInt64) {
        self.spacing = spacing
        self.rate = rate
        random = SeededRandom(seed: seed)
    }

    /// When the next request is due, from the start of the run on; never earlier than the one before.
    mutating func next() -> Duration {
        switch spacing {
        case .fixed:
            // From the count, so that no rounding adds up.
            last = count / rate
            count += 1
        case .exponential: last -= log(1 - Double.random(in: 0..<1, using: &random)) / rate
        }
        return .seconds(last)
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same load for the same seed, everywhere.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
