import Batching

/// A key of the tests. Those in capitals share small batches; digits run in pieces of so many patches.
struct TestKey: BatchKey, ExpressibleByStringLiteral {
    var name: String

    init(stringLiteral name: String) { self.name = name }

    var sharedBatch: Int { name == name.lowercased() ? 0 : 5 }
    var pieceSize: Int? { Int(name) }
    var runsInPieces: Bool { pieceSize != nil }
}

/// A job of the tests: its name is unique in a test.
struct TestJob: BatchJob, Hashable {
    var name: Int
    var connection: ConnectionID
    var key: TestKey
    var patchCount: Int

    init(_ name: Int, of connection: UInt64 = 1, key: TestKey = "a", patches: Int = 1) {
        self.name = name
        self.connection = ConnectionID(connection)
        self.key = key
        patchCount = patches
    }

    /// Of the key "b".
    var lead: Int { key.name == "b" ? 4 : .max }

    func piece(at patch: Int) -> Range<Int> { patch..<min(patchCount, patch + (key.pieceSize ?? patchCount)) }
}

/// Time that passes when a test says so.
struct ManualInstant: InstantProtocol, Sendable {
    var nanoseconds: Int

    func advanced(by duration: Duration) -> ManualInstant {
        ManualInstant(nanoseconds: nanoseconds + Int(duration / .nanoseconds(1)))
    }

    func duration(to other: ManualInstant) -> Duration { .nanoseconds(other.nanoseconds - nanoseconds) }

    static func < (left: ManualInstant, right: ManualInstant) -> Bool { left.nanoseconds < right.nanoseconds }
}

typealias Machine = BatchingStateMachine<TestJob, ManualInstant>
typealias TestBatch = Batch<TestJob, ManualInstant>

/// The rules in their plainest form: single patches in one array, everything found by searching.
struct NaiveBatcher {
    struct Patch: Equatable {
        var job: TestJob
        var index: Int
    }

    var limits: BatchingLimits
    var waiting: [Patch] = []
    /// Patches of jobs that are not to be begun yet.
    var heldBack: [Patch] = []
    var computing: [Int: [Patch]] = [:]
    var unfinished: [TestJob: Int] = [:]
    var deadlines: [TestJob: ManualInstant] = [:]
    var connectionTurns: [ConnectionID] = []
    var keyTurns: [ConnectionID: [TestKey]] = [:]
    /// All workers compute one batch.
    var isSharing = false
    /// What is free of what pieces need, and how much of it each patch of a piece needs.
    var free = 0
    static func need(_ job: TestJob, _ patches: Int) -> Int { patches * (1 + job.name % 3) }
    /// Pieces that had their turn and could not start, the first in front.
    var line: [TestJob] = []

    var runningPieces: Int { computing.values.count { $0.first?.job.key.runsInPieces ?? false } }
    /// A single worker has a second thread beside it, for pieces.
    var idleThreads: Int { isSharing ? 0 : max(2, limits.workers) - computing.count }
    var idle: Int { min(idleThreads, limits.workers - (computing.count - runningPieces)) }
    /// One worker at least is left to patches.
    var idleForPieces: Int { min(idleThreads, max(1, limits.workers - 1) - runningPieces) }
    /// Idle threads that would find something.
    var wanted: Int {
        let pieces = waiting.count { $0.job.key.runsInPieces }
        return min(idleThreads, min(idle, waiting.count - pieces) + min(idleForPieces, pieces))
    }

    /// Who found no room, the last one last, of each kind, and until when others leave some.
    var refusals: [Bool: [(connection: ConnectionID, end: ManualInstant)]] = [:]

    /// How many patches like a job's there is room for.
    func room(_ job: TestJob) -> Int {
        let alike = waiting.count { $0.job.key.runsInPieces == job.key.runsInPieces }
        return limits.queue - alike - (job.key.runsInPieces ? 0 : heldBack.count)
    }

    /// To be told of each job that there is no room for.
    mutating func didRefuse(_ job: TestJob, retryAfter: Duration, at now: ManualInstant) {
        guard job.patchCount > room(job) else { return }
        var those = refusals[job.key.runsInPieces] ?? []
        those.removeAll { $0.connection == job.connection }
        those.append((job.connection, now.advanced(by: retryAfter * 2 + .seconds(1))))
        // Of two connections the last is known.
        refusals[job.key.runsInPieces] = those.suffix(2)
    }

    mutating func admit(_ job: TestJob, deadline: ManualInstant?, at now: ManualInstant) -> Bool {
        let others = (refusals[job.key.runsInPieces] ?? []).filter { $0.connection != job.connection }
        let own = (waiting + heldBack).count {
            $0.job.connection == job.connection && $0.job.key.runsInPieces == job.key.runsInPieces
        }
        let leaves = others.last.map { now < $0.end } ?? false
        guard job.patchCount <= room(job) - (leaves ? own : 0) else { return false }
        heldBack += (0..<job.patchCount).map { Patch(job: job, index: $0) }
        unfinished[job] = job.patchCount
        deadlines[job] = deadline
        queueMore(of: job)
        return true
    }

    /// Lets those of its patches into the queue that may be begun; false where there are none.
    @discardableResult
    private mutating func queueMore(of job: TestJob) -> Bool {
        let first = (computing.values.joined() + waiting + heldBack).filter { $0.job == job }.map(\.index).min() ?? 0
        let allowed = heldBack.filter { $0.job == job && $0.index - first < job.lead }
        guard !allowed.isEmpty else { return false }
        heldBack.removeAll { allowed.contains($0) }
        waiting += allowed
        if !connectionTurns.contains(job.connection) { connectionTurns.append(job.connection) }
        if !keyTurns[job.connection, default: []].contains(job.key) {
            keyTurns[job.connection, default: []].append(job.key)
        }
        return true
    }

    /// The patches of the next batch, dealt out one at a time, in the order job by job within a connection.
    mutating func next(worker: Int) -> [Patch]? {
        guard !isSharing else { return nil }
        var turns = connectionTurns.flatMap { connection in
            (keyTurns[connection] ?? []).map { (connection: connection, key: $0) }
        }
        if let first = line.first { turns.insert((first.connection, first.key), at: 0) }
        for turn in turns {
            guard turn.key.runsInPieces else {
                guard idle > 0 else { continue }
                return deal(turn.key, worker: worker)
            }
            guard idleForPieces > 0 else { continue }
            let mine = waiting.filter { $0.job.key == turn.key && $0.job.connection == turn.connection }
            guard let job = mine.first?.job, line.isEmpty || line == [job] else { continue }
            let rest = mine.filter { $0.job == job }
            let piece = Array(rest.prefix(turn.key.pieceSize ?? rest.count))
            guard Self.need(job, piece.count) <= free else {
                line = [job]
                continue
            }
            line = []
            free -= Self.need(job, piece.count)
            waiting.removeAll { piece.contains($0) }
            computing[worker] = piece
            moveToBack([turn.connection], turn.key)
            return piece
        }
        return nil
    }

    private mutating func deal(_ key: TestKey, worker: Int) -> [Patch] {
        let batchable = waiting.count { !$0.job.key.runsInPieces }
        let mine = Int((Double(batchable) / Double(idle)).rounded(.up))
        let everyones = Int((Double(batchable) / Double(limits.workers)).rounded(.up))
        // What waits is dealt out among the idle; beyond a batch that pays, among all.
        var room = min(limits.maxBatch, mine <= limits.payingBatch ? mine : max(limits.payingBatch, everyones))
        if computing.isEmpty, limits.workers > 1, batchable <= key.sharedBatch {
            isSharing = true
            room = min(limits.maxBatch, batchable)
        }
        var dealt: [Patch] = []
        var served: [ConnectionID] = []
        while room > 0, waiting.contains(where: { $0.job.key == key }) {
            for connection in connectionTurns where room > 0 {
                let mine = waiting.firstIndex { $0.job.key == key && $0.job.connection == connection }
                guard let mine else { continue }
                dealt.append(waiting.remove(at: mine))
                room -= 1
                if !served.contains(connection) { served.append(connection) }
            }
        }
        computing[worker] = dealt
        moveToBack(served, key)
        return dealt
    }

    private mutating func moveToBack(_ served: [ConnectionID], _ key: TestKey) {
        for connection in served {
            connectionTurns.removeAll { $0 == connection }
            connectionTurns.append(connection)
            keyTurns[connection]?.removeAll { $0 == key }
            keyTurns[connection]?.append(key)
        }
        forgetEmptyTurns()
    }

    /// The jobs that are complete with this, and how many threads should look at the queue.
    mutating func finish(worker: Int) -> (complete: Set<TestJob>, wake: Int) {
        var complete: Set<TestJob> = []
        var wake = isSharing ? min(limits.workers - 1, waiting.count) : 0
        isSharing = false
        let computed = computing.removeValue(forKey: worker) ?? []
        if let job = computed.first?.job, job.key.runsInPieces {
            free += Self.need(job, computed.count)
            wake = wanted
        }
        for patch in computed {
            guard let left = unfinished[patch.job] else { continue }
            unfinished[patch.job] = left - 1
            if left == 1 {
                complete.insert(patch.job)
                unfinished[patch.job] = nil
            }
        }
        for job in Set(computed.map(\.job)).sorted(by: { $0.name < $1.name }) where queueMore(of: job) { wake = wanted }
        return (complete, wake)
    }

    mutating func remove(where isGone: (TestJob) -> Bool) -> Set<TestJob> {
        let gone = Set(unfinished.keys.filter(isGone))
        for job in gone { unfinished[job] = nil }
        waiting.removeAll { gone.contains($0.job) }
        heldBack.removeAll { gone.contains($0.job) }
        line.removeAll { gone.contains($0) }
        forgetEmptyTurns()
        return gone
    }

    private mutating func forgetEmptyTurns() {
        let waiting = waiting
        for connection in connectionTurns {
            keyTurns[connection]?.removeAll { key in
                !waiting.contains { $0.job.connection == connection && $0.job.key == key }
            }
        }
        connectionTurns.removeAll { keyTurns[$0]?.isEmpty ?? true }
    }
}
