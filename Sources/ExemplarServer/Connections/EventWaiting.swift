import Batching
import CPlatform
import Glibc
import Platform

/// What the event loop does between two turns: computes what is brief, looks out for what comes soon, sleeps.
extension EventLoop {
    /// How long the sockets are not looked at while there is more work than all workers can begin. Requests that wait
    /// for tens of milliseconds, or are refused, hardly notice, and one turn takes what came on many connections,
    /// instead of one turn each that takes a core from a worker.
    ///
    /// Nothing ends it, a finished batch neither: a scheduler that is fair keeps a thread that wakes microseconds
    /// after it fell asleep from its core until the next tick, up to 4 ms, and with it every refusal that is due.
    private static let rest: Duration = .microseconds(500)

    /// The events of the next turn.
    ///
    /// - Parameter time: when whoever runs the loop has something else to do.
    func nextEvents(until time: ContinuousClock.Instant?) -> [Poller.Event] {
        let events = waitForEvents(until: time)
        if !events.isEmpty { anticipation.didHear(at: .now) }
        return events
    }

    private func waitForEvents(until time: ContinuousClock.Instant?) -> [Poller.Event] {
        guard backlog.isEmpty, !mayBeBrief, !owesAnswer else { return poller.wait(timeout: .zero) }
        if isAnticipating {
            isAnticipating = false
            let events = lookOut()
            guard events.isEmpty else { return events }
        }
        guard !isCrowded else {
            usleep(UInt32(Self.rest / .microseconds(1)))
            // Nor is anything waited for after it: the next request would end that at any moment.
            return poller.wait(timeout: .zero)
        }
        guard let next = earliest(time, nextTime) else { return poller.wait(timeout: nil) }
        return poller.wait(timeout: max(.zero, ContinuousClock.now.duration(to: next)))
    }

    /// Whether more waits than all workers can take at once, and than they can compute in twice the time that this
    /// thread rests. One that is idle now is about to take some.
    private var isCrowded: Bool {
        let batcher = shared.batcher
        return batcher.batchablePatchCount >= batcher.limits.workers * batcher.limits.maxBatch
            && batcher.read { $0.timeToCompute() } > Self.rest * 2
    }

    /// Looks for events again and again for a short time, without sleeping.
    private func lookOut() -> [Poller.Event] {
        let end = ContinuousClock.now + Anticipation.window
        while true {
            let events = poller.wait(timeout: .zero)
            if !events.isEmpty || .now >= end { return events }
            // Whom this thread waits for may be waiting for its core.
            sched_yield()
        }
    }

    /// Computes what waits itself where that is brief and all workers are idle: the request is answered by the thread
    /// that read it, and nobody but the crew is woken.
    func computeIfBrief() {
        guard mayBeBrief else { return }
        mayBeBrief = false
        guard let batch = shared.batcher.nextIfBrief() else { return }
        let news = ownWorker.complete(batch, &scratch, expectsMore: anticipation.isSoon)
        // Other loops' requests may have been in it, even alone.
        let own = shared.outbox.post(news, keepingThoseFor: index)
        take(own)
        if !own.isEmpty {
            anticipation.didAnswer(at: .now)
            isAnticipating = anticipation.isSoon
        }
        // What did not go into that batch.
        mayBeBrief = shared.batcher.queuedPatchCount > 0
    }
}

/// The earliest of some times, each of which may not be set. No array: it is asked for in every turn.
func earliest(
    _ first: ContinuousClock.Instant?, _ second: ContinuousClock.Instant?, _ third: ContinuousClock.Instant? = nil
) -> ContinuousClock.Instant? {
    var earliest = first
    if let second { earliest = earliest.map { min($0, second) } ?? second }
    if let third { earliest = earliest.map { min($0, third) } ?? third }
    return earliest
}
