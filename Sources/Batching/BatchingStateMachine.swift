/// Decides which patches run when: a value that is told what happened and answers what to do, and does nothing itself.
///
/// Work is admitted or refused by the patches that wait, pieces by those of other pieces. A worker that gets free takes
/// what waits at that moment, at most `maxBatch` patches of one key and no more than its part of what the workers will
/// share: one client meets the latency of a batch of one, and under load batches form by themselves. There is no
/// waiting for more. A large job is cut where the batches end.
///
/// Few patches of a key that asks for it (`BatchKey.sharedBatch`) become one batch for all workers together, if all are
/// idle; until it is finished no other starts.
///
/// A piece (`BatchKey.runsInPieces`) may take seconds, where a batch takes milliseconds: so pieces never occupy every
/// worker, and where there is one worker, another thread computes them beside it. A piece starts only where whoever
/// asks can reserve what it needs. One that cannot start is passed over by patches that need nothing, and by no other
/// piece: it is offered what there is before anything else until it starts or leaves, so that small ones never keep a
/// large one waiting for ever.
///
/// Of a job whose results must be put in order only so much is in the queue (`BatchJob.lead`) that what comes early is
/// bounded, however long one worker's part takes.
///
/// Every admitted job leaves exactly once: completed, expired or cancelled.
public struct BatchingStateMachine<Job: BatchJob, Instant: InstantProtocol & Sendable>
where Instant.Duration == Duration {
    public let limits: BatchingLimits

    private var waiting = TurnQueue<Job.Key>()
    /// Every admitted job that has not left.
    private var records: [UInt64: JobRecord<Job, Instant>] = [:]
    private var running: [UInt64: BatchRecord<Job, Instant>] = [:]
    private var runningPieceCount = 0
    private var heldBack = HeldBack<Job.Key>()
    private var lastID: UInt64 = 0
    /// The job whose piece had its turn and could not start. It may have left.
    private var held: UInt64?
    private var isDraining = false
    private var deadlines = Deadlines<Instant>()
    private var costs = BatchCosts<Job.Key>()
    private var fairness = QueueFairness<Instant>()

    public init(limits: BatchingLimits) {
        self.limits = limits
    }

    /// Patches that wait.
    public var queuedPatchCount: Int { waiting.patchCount + heldBack.count }

    /// Of these, patches of pieces.
    public var queuedPieceCount: Int { waiting.pieceCount }

    /// Patches that can run with others and may begin.
    public var batchablePatchCount: Int { waiting.patchCount - waiting.pieceCount }

    /// Admitted jobs that have not left.
    public var jobCount: Int { records.count }

    /// Threads that compute nothing.
    private var idleThreadCount: Int { isSharing ? 0 : limits.threads - running.count }

    /// Threads that may begin a batch.
    public var idleWorkerCount: Int { min(idleThreadCount, limits.workers - (running.count - runningPieceCount)) }

    /// Threads that may begin a piece.
    private var idleForPieces: Int { min(idleThreadCount, limits.pieces - runningPieceCount) }

    /// Idle threads for which something waits.
    public var wantedWorkerCount: Int {
        min(idleThreadCount, min(idleWorkerCount, batchablePatchCount) + min(idleForPieces, waiting.pieceCount))
    }

    /// Whether all workers compute one batch.
    private var isSharing: Bool { running.count == 1 && running.values.contains { $0.isShared } }

    /// When `expire(at:)` has something to do.
    public var nextDeadline: Instant? { deadlines.first?.deadline }

    /// When the batch that has got on least recently did so, if any runs.
    public var oldestProgress: Instant? {
        var oldest: Instant?
        // A loop: the library's key paths look their types up at each call, which every request would pay for.
        for run in running.values where oldest.map({ run.progressed < $0 }) ?? true { oldest = run.progressed }
        return oldest
    }

    /// Whether the last job of a drained batcher has left. What still runs is computed for nobody.
    public var isDrained: Bool { isDraining && records.isEmpty }

    /// Takes a job in, or says why not.
    ///
    /// - Parameter isAccepted: whether the job was accepted before draining began and has only now become ready.
    public mutating func admit(
        _ job: Job, deadline: Instant?, at now: Instant, isAccepted: Bool = false
    ) -> Admission {
        guard !isDraining || isAccepted else { return .draining }
        if let deadline, deadline <= now { return .expired }
        let count = job.patchCount
        if let retryAfter = refusal(of: count, inPieces: job.key.runsInPieces, for: job.connection, at: now) {
            return .refused(retryAfter: retryAfter)
        }
        lastID += 1
        let queued = min(count, max(1, job.lead))
        waiting.append(job: lastID, of: job.connection, key: job.key, patches: 0..<queued)
        records[lastID] = JobRecord(job: job, deadline: deadline, unfinished: count, queued: queued)
        heldBack.add(count - queued, of: job.connection, key: job.key)
        if let deadline { deadlines.add(deadline, of: lastID) }
        return .admitted
    }

    /// In what time there should be room for so many patches of a connection, or patches of pieces; nil where there is
    /// now. Whoever finds none is remembered (`QueueFairness`).
    ///
    /// - Parameter inPieces: nil where that will turn out: room for either is enough.
    public mutating func refusal(
        of patchCount: Int, inPieces: Bool? = false, for connection: ConnectionID, at now: Instant
    ) -> Duration? {
        guard let inPieces else {
            let isRefused = [false, true].allSatisfy { inPieces in
                !hasRoom(for: patchCount, inPieces: inPieces, of: connection, at: now)
            }
            guard isRefused else { return nil }
            _ = refusal(of: patchCount, inPieces: true, for: connection, at: now)
            return refusal(of: patchCount, inPieces: false, for: connection, at: now)
        }
        guard !hasRoom(for: patchCount, inPieces: inPieces, of: connection, at: now) else { return nil }
        let retryAfter = timeToCompute(pieces: inPieces)
        if patchCount > room(inPieces: inPieces) {
            fairness.didRefuse(connection, inPieces: inPieces, retryAfter: retryAfter, at: now)
        }
        return retryAfter
    }

    private func room(inPieces: Bool) -> Int {
        limits.queue - (inPieces ? waiting.pieceCount : batchablePatchCount + heldBack.count)
    }

    /// Whether there is room beside what the connection has to leave to others.
    private func hasRoom(for patchCount: Int, inPieces: Bool, of connection: ConnectionID, at now: Instant) -> Bool {
        var room = room(inPieces: inPieces)
        if fairness.appliesTo(connection, inPieces: inPieces, at: now) {
            room -= waiting.patchCount(of: connection, inPieces: inPieces)
            if !inPieces { room -= heldBack.count(of: connection) }
        }
        return 1 <= patchCount && patchCount <= room
    }

    /// Until when a connection may be refused although there is room; nil where none may.
    public var fairnessEnd: Instant? { fairness.end }

    /// What a worker that computes nothing does next.
    ///
    /// - Parameter reserve: asked for what a piece of a job needs, once at most; where it says yes, the step runs that
    ///   piece. Whoever reserves nothing gets none.
    public mutating func next(
        at now: Instant, reserve: (_ job: Job, _ piece: Range<Int>) -> Bool = { _, _ in false }
    ) -> Step {
        let mayBatch = idleWorkerCount > 0
        if idleForPieces > 0, let turn = heldTurn ?? waiting.nextTurn(batches: mayBatch), turn.key.runsInPieces,
            let job = records[turn.first.job]?.job
        {
            let piece = job.piece(at: turn.first.patches.lowerBound).clamped(to: turn.first.patches)
            if reserve(job, piece) {
                held = nil
                return run(waiting.takePiece(piece.count, of: turn.key, from: turn.connection), turn.key, at: now)
            }
            held = turn.first.job
        }
        guard mayBatch, let turn = waiting.nextTurn(pieces: false) else { return .wait }
        let isShared = canShare(turn.key)
        let share = isShared ? min(limits.maxBatch, batchablePatchCount) : share
        return run(waiting.take(atMost: share, of: turn.key), turn.key, isShared: isShared, at: now)
    }

    /// Whether everything that waits and is no piece would be one batch for all workers together.
    private func canShare(_ next: Job.Key) -> Bool {
        running.isEmpty && limits.workers > 1 && batchablePatchCount <= next.sharedBatch
    }

    /// The turn of the piece that could not start; nil once its job has left.
    private var heldTurn: TurnQueue<Job.Key>.Turn? {
        guard let held, let job = records[held]?.job, let first = waiting.first(of: job.key, from: job.connection)
        else { return nil }
        return TurnQueue.Turn(connection: job.connection, key: job.key, first: first)
    }

    private mutating func run(
        _ portions: [TurnQueue<Job.Key>.Portion], _ key: Job.Key, isShared: Bool = false, at now: Instant
    ) -> Step {
        let slices = portions.compactMap { portion in
            records[portion.job].map { record in
                if record.job.patchCount > record.job.lead { records[portion.job]?.take(portion.patches) }
                return Slice(job: record.job, patches: portion.patches, id: portion.job)
            }
        }
        lastID += 1
        let patchCount = portions.reduce(0) { $0 + $1.patches.count }
        running[lastID] = BatchRecord(
            slices: slices, started: now, patchCount: patchCount, isShared: isShared, isPiece: key.runsInPieces,
            progressed: now)
        if key.runsInPieces { runningPieceCount += 1 }
        let batch = Batch<Job, Instant>(
            key: key, slices: slices, patchCount: patchCount, isShared: isShared, started: now, id: lastID)
        return .run(batch, wakeAnother: wantedWorkerCount > 0)
    }

    /// Whether everything that waits is a single patch or would be one batch for all workers together, done sooner than
    /// `limits.brief`, by what recent ones cost: whoever took it in may as well compute it as wake a worker.
    public var isBrief: Bool {
        guard let next = waiting.nextTurn()?.key, let cost = costs[next], waiting.pieceCount == 0, running.isEmpty
        else {
            return false
        }
        let isShared = canShare(next)
        guard isShared || waiting.patchCount == 1 else { return false }
        return .seconds(Double(waiting.patchCount) * cost / Double(isShared ? limits.crew : 1)) <= limits.brief
    }

    /// Takes note that a running batch gets on.
    ///
    /// - Returns: whether anybody waits for it: false once its jobs have expired or were cancelled.
    public mutating func progress(_ batch: Batch<Job, Instant>, at now: Instant) -> Bool {
        running[batch.id]?.progressed = now
        return batch.slices.contains { records[$0.id] != nil }
    }

    /// Patches that a worker takes now: its part of what the idle ones will share; beyond a batch that pays, its part
    /// among all, so that the next worker that gets free has something to take.
    private var share: Int {
        func part(among workers: Int) -> Int { (batchablePatchCount + workers - 1) / workers }
        let idle = max(1, idleWorkerCount)
        return min(limits.maxBatch, max(part(among: limits.workers), min(part(among: idle), limits.payingBatch)))
    }

    /// Takes note that a batch is computed. Its jobs that have no other patches to wait for leave.
    ///
    /// - Parameters:
    ///   - computed: patches of the batch that took time, from which their cost is learned; nil for all.
    ///   - wasShared: whether all workers computed it; nil where it is as was meant.
    public mutating func finish(
        _ batch: Batch<Job, Instant>, computed: Int? = nil, wasShared: Bool? = nil, at now: Instant
    ) -> Finished {
        var finished = Finished()
        guard let run = running.removeValue(forKey: batch.id) else { return finished }
        if run.isPiece {
            runningPieceCount -= 1
            // But first it writes a reply, which may be long.
            finished.wake = wantedWorkerCount
        }
        costs.learn(
            batch.key, patchCount: computed ?? run.patchCount,
            took: run.started.duration(to: now) * (wasShared ?? run.isShared ? limits.crew : 1))
        // The worker that finishes looks at the queue itself.
        if run.isShared { finished.wake = min(limits.workers - 1, waiting.patchCount) }
        // No set of them: with one the compiler leaves this method generic, and each request looks types up for 5 µs.
        var unfinished: [UInt64] = []
        for slice in batch.slices {
            // A job that expired or was cancelled meanwhile has left.
            guard var record = records[slice.id] else { continue }
            record.unfinished -= slice.patches.count
            guard record.unfinished == 0 else {
                record.running.removeAll { $0 == slice.patches }
                if record.heldBack > 0 { unfinished.append(slice.id) }
                records[slice.id] = record
                continue
            }
            records[slice.id] = nil
            if let deadline = record.deadline, deadline < now {
                finished.expired.append(record.job)
            } else {
                finished.completed.append(record.job)
            }
        }
        forgetDeadlines()
        for id in unfinished where queueMore(of: id) { finished.wake = wantedWorkerCount }
        return finished
    }

    /// Puts what the job's lead allows now into the queue; false where that is nothing.
    private mutating func queueMore(of id: UInt64) -> Bool {
        guard let record = records[id] else { return false }
        let end = min(record.job.patchCount, record.first + max(1, record.job.lead))
        guard end > record.queued else { return false }
        waiting.append(job: id, of: record.job.connection, key: record.job.key, patches: record.queued..<end)
        heldBack.add(record.queued - end, of: record.job.connection, key: record.job.key)
        records[id]?.queued = end
        return true
    }

    /// Lets the jobs go whose deadline has passed, queued or running.
    public mutating func expire(at now: Instant) -> [Job] {
        var expired: [(id: UInt64, job: Job)] = []
        while let first = deadlines.first, first.deadline <= now {
            if let record = records[first.job] { expired.append((first.job, record.job)) }
            deadlines.removeFirst()
        }
        remove(expired)
        return expired.sorted { $0.id < $1.id }.map(\.job)
    }

    /// After jobs have left.
    private mutating func forgetDeadlines() {
        guard deadlines.first != nil else { return }
        let records = records
        deadlines.forget(keeping: records.count) { records[$0] == nil }
    }

    /// Lets a job go of which no more is to be computed; false where it has left already.
    public mutating func abandon(_ slice: Slice<Job>) -> Bool {
        guard records[slice.id] != nil else { return false }
        remove([(slice.id, slice.job)])
        return true
    }

    /// Lets all jobs of a connection go; nobody waits for them any more.
    public mutating func cancel(_ connection: ConnectionID) -> [Job] {
        // Each has patches that wait or run: no need to look at those of all connections.
        var ids = waiting.jobs(of: connection)
        for run in running.values { ids.formUnion(run.jobs(of: connection)) }
        let cancelled = ids.compactMap { id in records[id].map { (id: id, job: $0.job) } }
        remove(cancelled)
        return cancelled.sorted { $0.id < $1.id }.map(\.job)
    }

    /// Takes no more work. What was admitted goes on.
    public mutating func drain() {
        isDraining = true
    }

    /// How long all workers together need for everything that waits and runs in pieces, or does not, by what recent
    /// ones cost; at least 1 ms.
    public func timeToCompute(pieces: Bool = false) -> Duration {
        // Before the first batch nothing is known; a tenth of a second keeps clients from hammering.
        guard let queued = costs.seconds(of: waiting.patchCounts, inPieces: pieces),
            let later = costs.seconds(of: heldBack.patchCounts, inPieces: pieces)
        else { return .milliseconds(100) }
        let seconds = (queued + later) / Double(pieces ? limits.pieces : limits.workers)
        return max(.milliseconds(1), .seconds(min(seconds, 3600)))
    }

    private mutating func remove(_ jobs: [(id: UInt64, job: Job)]) {
        guard !jobs.isEmpty else { return }
        var ids: [ConnectionID: Set<UInt64>] = [:]
        for (id, job) in jobs {
            if let record = records.removeValue(forKey: id) {
                heldBack.add(-record.heldBack, of: job.connection, key: job.key)
            }
            ids[job.connection, default: []].insert(id)
        }
        for (connection, ids) in ids { waiting.remove(jobs: ids, of: connection) }
        forgetDeadlines()
    }
}
