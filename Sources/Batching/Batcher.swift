/// The batching state machine behind a lock: any thread admits, workers block in `next()`.
///
/// Each method locks, lets the state machine decide, unlocks, then acts.
public final class Batcher<Job: BatchJob, Instant: InstantProtocol & Sendable>: Sendable
where Instant.Duration == Duration {
    public typealias StateMachine = BatchingStateMachine<Job, Instant>

    private struct State {
        var machine: StateMachine
        var isStopped = false
    }

    public let limits: BatchingLimits
    private let state: Monitor<State>
    private let now: @Sendable () -> Instant

    /// - Parameter now: the clock.
    public init(limits: BatchingLimits, now: @escaping @Sendable () -> Instant) {
        self.limits = limits
        self.now = now
        state = Monitor(State(machine: StateMachine(limits: limits)))
    }

    /// Takes a job in, or says why not.
    ///
    /// - Parameter defersBrief: whether no worker is woken as long as all that waits is brief: the caller will ask
    ///   `nextIfBrief` for it soon, and compute it.
    public func admit(
        _ job: Job, deadline: Instant?, isAccepted: Bool = false, defersBrief: Bool = false
    ) -> StateMachine.Admission {
        let now = now()
        return state.withLockWaking { state in
            let admission = state.machine.admit(job, deadline: deadline, at: now, isAccepted: isAccepted)
            guard case .admitted = admission, !(defersBrief && state.machine.isBrief) else { return (admission, 0) }
            // Those that were deferred before need their workers, too.
            return (admission, state.machine.wantedWorkerCount)
        }
    }

    /// What the caller computes itself, instead of a worker; nil where that would take long. Then workers are woken for
    /// whatever waits.
    public func nextIfBrief() -> Batch<Job, Instant>? {
        let now = now()
        return state.withLockWaking { state in
            guard state.machine.isBrief, case .run(let batch, _) = state.machine.next(at: now) else {
                return (nil, state.machine.wantedWorkerCount)
            }
            return (batch, 0)
        }
    }

    /// What a worker computes next; blocks until there is something. Nil when the worker should end.
    ///
    /// - Parameter reserve: takes what a piece of a job needs, or says that it is not there; called with the lock held.
    public func next(
        reserve: (_ job: Job, _ piece: Range<Int>) -> Bool = { _, _ in false }
    ) -> Batch<Job, Instant>? {
        state.waitWaking { state in
            if state.isStopped { return (nil, 0) }
            guard case .run(let batch, let wakeAnother) = state.machine.next(at: self.now(), reserve: reserve)
            else { return nil }
            return (batch, wakeAnother ? 1 : 0)
        }
    }

    /// Makes idle workers look again: there is more of what pieces need.
    public func retry() {
        state.notifyAll()
    }

    /// Takes note that a running batch gets on; false where nobody waits for it any more.
    public func progress(_ batch: Batch<Job, Instant>) -> Bool {
        let now = now()
        return state.withLock { $0.machine.progress(batch, at: now) }
    }

    /// Takes note that a batch is computed; the jobs returned have left.
    ///
    /// - Parameters:
    ///   - computed: patches of the batch that took time; without it, all.
    ///   - wasShared: whether all workers computed it; without it, as was meant.
    public func finish(
        _ batch: Batch<Job, Instant>, computed: Int? = nil, wasShared: Bool? = nil
    ) -> StateMachine.Finished {
        let now = now()
        return state.withLockWaking { state in
            let finished = state.machine.finish(batch, computed: computed, wasShared: wasShared, at: now)
            return (finished, finished.wake)
        }
    }

    /// Lets the jobs go whose deadline has passed.
    public func expire() -> [Job] {
        let now = now()
        let expired = state.withLock { $0.machine.expire(at: now) }
        retryWithout(expired)
        return expired
    }

    /// Lets all jobs of a connection go, and returns them.
    public func cancel(_ connection: ConnectionID) -> [Job] {
        let cancelled = state.withLock { $0.machine.cancel(connection) }
        retryWithout(cancelled)
        return cancelled
    }

    /// A piece that has left may have kept others from starting.
    private func retryWithout(_ left: [Job]) {
        if left.contains(where: { $0.key.runsInPieces }) { state.notifyAll() }
    }

    /// Takes no more work. What was admitted goes on.
    public func drain() {
        state.withLock { $0.machine.drain() }
    }

    /// Ends every worker: `next()` returns nil from now on.
    public func stop() {
        state.withLock { $0.isStopped = true }
        state.notifyAll()
    }

    /// A look at the figures.
    public func read<Value>(_ body: (StateMachine) -> Value) -> Value {
        state.withLock { body($0.machine) }
    }
}
