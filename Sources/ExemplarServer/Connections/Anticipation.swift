/// Whether the next request is likely to come so soon after an answer that threads had better look out for it than
/// sleep: to wake a core that sleeps takes up to 80 µs on a virtual machine, as much as an answer's whole way.
///
/// As it went the last time: a client that asks again as soon as it is answered is met awake, and nobody stays awake
/// longer than `window` for one that does not, one time in `patience`.
struct Anticipation {
    /// The longest time that anybody stays awake.
    static let window: Duration = .microseconds(200)
    /// What the same client takes where it was not awaited: it meets a server that sleeps, and is woken itself by one
    /// that did.
    static let windowAsleep: Duration = .microseconds(400)
    /// Answers after one that was awaited in vain until such a client is given the benefit of the doubt again.
    static let patience = 16

    private var answered: ContinuousClock.Instant?
    private(set) var isSoon = false
    private var answersInDoubt = 0

    /// An answer was sent.
    mutating func didAnswer(at now: ContinuousClock.Instant) { answered = now }

    /// Something came: from a client, or from another thread for one.
    mutating func didHear(at now: ContinuousClock.Instant) {
        guard let last = answered else { return }
        answered = nil
        let wasAwaited = isSoon
        isSoon = last.duration(to: now) <= (wasAwaited || answersInDoubt > 0 ? Self.window : Self.windowAsleep)
        if wasAwaited, !isSoon {
            answersInDoubt = Self.patience
        } else if answersInDoubt > 0 {
            answersInDoubt -= 1
        }
    }
}
