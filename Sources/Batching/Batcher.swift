internal import Synchronization

/// The batching state machine behind a lock: any thread admits, workers block in `next()`.
///
/// Each method locks, lets the state machine decide, unlocks, then acts. It is the one lock that every request passes,
/// several times, on many cores: what is asked for often, and need not be exact, is read beside it.
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
    private let snapshot: Snapshot

    /// Figures as they were when the lock was last held.
    private final class Snapshot: Sendable {
        let queued = Atomic<Int>(0)
        let batchable = Atomic<Int>(0)
        /// Nanoseconds from `epoch`.
        let deadline = Atomic<Int>(Int.max)
        /// Nanoseconds from `epoch`.
        let fairnessEnd = Atomic<Int>(0)
        let epoch: Instant

        init(epoch: Instant) { self.epoch = epoch }

        /// To be called with the lock.
        func take(from machine: StateMachine) {
            queued.store(machine.queuedPatchCount, ordering: .releasing)
            batchable.store(machine.batchablePatchCount, ordering: .releasing)
            deadline.store(machine.nextDeadline.map(nanoseconds) ?? .max, ordering: .releasing)
            fairnessEnd.store(machine.fairnessEnd.map(nanoseconds) ?? 0, ordering: .releasing)
        }

        func nanoseconds(to instant: Instant) -> Int {
            Int(max(0, min(epoch.duration(to: instant) / .nanoseconds(1), 0x1p62)))
        }
    }

    /// - Parameter now: the clock.
    public init(limits: BatchingLimits, now: @escaping @Sendable () -> Instant) {
        self.limits = limits
        self.now = now
        snapshot = Snapshot(epoch: now())
        state = Monitor(State(machine: StateMachine(limits: limits)))
    }

    /// Lets the state machine decide something, and wakes as many workers as that calls for.
    private func change<Result>(_ body: (inout State) -> (Result, waking: Int)) -> Result {
        state.withLockWaking { state in
            let result = body(&state)
            snapshot.take(from: state.machine)
            return result
        }
    }

    /// Patches that wait.
    public var queuedPatchCount: Int { snapshot.queued.load(ordering: .acquiring) }

    /// Patches that can run with others and may begin.
    public var batchablePatchCount: Int { snapshot.batchable.load(ordering: .acquiring) }

    /// When `expire()` has something to do, or somewhat earlier.
    public var nextDeadline: Instant? {
        let nanoseconds = snapshot.deadline.load(ordering: .acquiring)
        return nanoseconds == .max ? nil : snapshot.epoch.advanced(by: .nanoseconds(nanoseconds))
    }

    /// In what time there should be room for so many patches of a connection, or patches of pieces; nil where there is
    /// now. Whoever finds none is remembered.
    ///
    /// - Parameter inPieces: nil where that will turn out: room for either is enough.
    public func refusal(of patchCount: Int, inPieces: Bool?, for connection: ConnectionID) -> Duration? {
        let now = now()
        // What waits of both kinds together leaves room for either.
        if patchCount > 0, patchCount <= limits.queue - queuedPatchCount,
            snapshot.fairnessEnd.load(ordering: .acquiring) <= snapshot.nanoseconds(to: now)
        {
            return nil
        }
        return change {
            ($0.machine.refusal(of: patchCount, inPieces: inPieces, for: connection, at: now), waking: 0)
        }
    }

    /// Takes a job in, or says why not.
    public func admit(_ job: Job, deadline: Instant?, isAccepted: Bool = false) -> StateMachine.Admission {
        admit(job, deadline: deadline, isAccepted: isAccepted, defersBrief: false).admission
    }

    /// The same.
    ///
    /// - Parameter defersBrief: wakes no worker as long as all that waits is brief.
    /// - Returns: with `isDeferred` the caller is to ask `nextIfBrief` for it soon, and compute it.
    public func admit(
        _ job: Job, deadline: Instant?, isAccepted: Bool, defersBrief: Bool
    ) -> (admission: StateMachine.Admission, isDeferred: Bool) {
        let now = now()
        return change { state in
            let admission = state.machine.admit(job, deadline: deadline, at: now, isAccepted: isAccepted)
            guard case .admitted = admission else { return ((admission, false), 0) }
            guard !(defersBrief && state.machine.isBrief) else { return ((admission, true), 0) }
            // Those that were deferred before need their workers, too.
            return ((admission, false), state.machine.wantedWorkerCount)
        }
    }

    /// What the caller computes itself, instead of a worker; nil where that would take long. Then workers are woken for
    /// whatever waits.
    public func nextIfBrief() -> Batch<Job, Instant>? {
        let now = now()
        return change { state in
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
            snapshot.take(from: state.machine)
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
        return change { state in
            let finished = state.machine.finish(batch, computed: computed, wasShared: wasShared, at: now)
            return (finished, finished.wake)
        }
    }

    /// Lets the jobs go whose deadline has passed.
    public func expire() -> [Job] {
        let now = now()
        guard snapshot.deadline.load(ordering: .acquiring) <= snapshot.nanoseconds(to: now) else { return [] }
        let expired = change { ($0.machine.expire(at: now), 0) }
        retryWithout(expired)
        return expired
    }

    /// Lets a job go of which no more is to be computed; false where it has left already.
    public func abandon(_ slice: Slice<Job>) -> Bool { change { ($0.machine.abandon(slice), 0) } }

    /// Lets all jobs of a connection go, and returns them.
    public func cancel(_ connection: ConnectionID) -> [Job] {
        let cancelled = change { ($0.machine.cancel(connection), 0) }
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
