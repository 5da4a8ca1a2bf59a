/// Whether the next request is likely to come so soon after an answer that threads had better look out for it than
/// sleep: to wake a core that sleeps takes up to 80 µs on a virtual machine, as much as an answer's whole way.
///
/// As it went the last time: a client that asks again as soon as it is answered is met awake, and nobody stays awake
/// longer than `window` for one that does not, once.
struct Anticipation {
    /// The longest time that anybody stays awake.
    static let window: Duration = .microseconds(200)

    private var answered: ContinuousClock.Instant?
    private(set) var isSoon = false

    /// An answer was sent.
    mutating func didAnswer(at now: ContinuousClock.Instant) { answered = now }

    /// Something came from a client.
    mutating func didHear(at now: ContinuousClock.Instant) {
        guard let last = answered else { return }
        isSoon = last.duration(to: now) <= Self.window
        answered = nil
    }
}
