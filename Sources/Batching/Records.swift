/// What the batcher keeps of an admitted job until it leaves.
struct JobRecord<Job: BatchJob, Instant: Sendable> {
    let job: Job
    let deadline: Instant?
    /// Patches not yet reported finished.
    var unfinished: Int
    /// Patches that were put into the queue, the first of the job; the others are held back for its lead.
    var queued: Int
    /// Of a job that has more patches than its lead: those that were taken out of the queue again, and of these the
    /// runs that are not finished.
    var taken = 0
    var running: [Range<Int>] = []

    var heldBack: Int { job.patchCount - queued }
    /// The first patch that is not computed.
    var first: Int { running.reduce(taken) { min($0, $1.lowerBound) } }

    mutating func take(_ patches: Range<Int>) {
        taken = patches.upperBound
        running.append(patches)
    }
}

/// Patches that are not in the queue yet, for their job's lead.
struct HeldBack<Key: Hashable & Sendable>: Sendable {
    /// More than 0 each.
    private(set) var patchCounts: [Key: Int] = [:]
    private var ofConnections: [ConnectionID: Int] = [:]

    var count: Int { patchCounts.values.reduce(0, +) }

    func count(of connection: ConnectionID) -> Int { ofConnections[connection] ?? 0 }

    /// - Parameter patchCount: below 0 for those that are held back no more.
    mutating func add(_ patchCount: Int, of connection: ConnectionID, key: Key) {
        guard patchCount != 0 else { return }
        let count = (patchCounts[key] ?? 0) + patchCount
        patchCounts[key] = count > 0 ? count : nil
        let own = (ofConnections[connection] ?? 0) + patchCount
        ofConnections[connection] = own > 0 ? own : nil
    }
}

/// What the batcher keeps of a batch while it runs.
struct BatchRecord<Job: BatchJob, Instant: Sendable> {
    let slices: [Slice<Job>]
    let started: Instant
    let patchCount: Int
    let isShared: Bool
    let isPiece: Bool
    /// When it was last known to get on.
    var progressed: Instant

    /// The jobs of a connection that it computes.
    func jobs(of connection: ConnectionID) -> [UInt64] {
        slices.filter { $0.job.connection == connection }.map(\.id)
    }
}

extension BatchingStateMachine {
    /// What became of a job that asked to get in.
    public enum Admission: Sendable, Equatable {
        /// In the queue. `wantedWorkerCount` workers should look at it.
        case admitted
        /// The queue is full; in `retryAfter` there should be room.
        case refused(retryAfter: Duration)
        /// Its deadline has passed already.
        case expired
        /// The batcher takes no more work.
        case draining
    }

    /// What a worker does next.
    public enum Step: Sendable {
        /// Compute this, then report it finished. With `wakeAnother` there is work left for an idle worker.
        case run(Batch<Job, Instant>, wakeAnother: Bool)
        /// Nothing waits: block until woken, then ask again.
        case wait
    }

    /// Jobs that left when a batch was finished.
    public struct Finished: Sendable {
        /// Every patch is computed, in time.
        public var completed: [Job] = []
        /// Every patch is computed, too late.
        public var expired: [Job] = []
        /// Workers that should look at the queue: a shared batch or a piece kept them from it, or a job's lead did.
        public var wake = 0
    }
}
