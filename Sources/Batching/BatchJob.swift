/// Which client a job came from: turns are taken between these.
public struct ConnectionID: Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public var description: String { rawValue.description }
}

/// What jobs must agree in to run in one batch.
public protocol BatchKey: Hashable, Sendable {
    /// At most so many patches are done sooner when all workers compute them together, as one batch, than when each
    /// computes its part by itself: where every worker would read the same large weights for a few patches. 0: never.
    var sharedBatch: Int { get }
    /// Whether its jobs are cut into pieces (`BatchJob.piece(at:)`), each a batch of its own that needs something which
    /// may be lacking: memory, asked for when its turn comes.
    var runsInPieces: Bool { get }
}

/// Work as the batcher sees it: how much, for whom, and what it may be batched with.
public protocol BatchJob: Sendable {
    /// Jobs of one key may run in one batch.
    associatedtype Key: BatchKey

    var connection: ConnectionID { get }
    var key: Key { get }
    /// Patches, 1 or more: the unit in which queues, batches and limits are counted.
    var patchCount: Int { get }

    /// At most so many of its patches are under way or computed beyond the first that is not computed: whoever puts
    /// their results in order must keep those that come early.
    var lead: Int { get }

    /// The piece that begins at `patch`, at least one patch; only asked where the key runs in pieces.
    func piece(at patch: Int) -> Range<Int>
}

extension BatchKey {
    public var runsInPieces: Bool { false }
}

extension BatchJob {
    public var lead: Int { .max }

    /// The rest of the job.
    public func piece(at patch: Int) -> Range<Int> { patch..<patchCount }
}

/// A run of a job's patches.
public struct Slice<Job: BatchJob>: Sendable {
    public let job: Job
    public let patches: Range<Int>
    let id: UInt64
}

/// What one worker computes at a time, or all together: slices of jobs with one key.
public struct Batch<Job: BatchJob, Instant: InstantProtocol>: Sendable where Instant: Sendable {
    public let key: Job.Key
    public let slices: [Slice<Job>]
    /// Patches of all slices together.
    public let patchCount: Int
    /// Whether all workers are meant to compute it together: the one that took it has the others' cores.
    public let isShared: Bool
    public let started: Instant
    let id: UInt64
}

/// The bounds of a batcher.
public struct BatchingLimits: Sendable, Equatable {
    /// The most patches in one batch.
    public var maxBatch: Int
    /// The most patches waiting to be put into a batch, and the most of pieces that wait.
    public var queue: Int
    /// The threads that compute batches.
    public var workers: Int
    /// The threads that compute one shared batch.
    public var crew: Int
    /// The smallest batch whose patches cost hardly more than a large one's, weights read once for all of them: up to
    /// it a worker leaves nothing that waits to those that are busy.
    public var payingBatch = 8
    /// The longest batch that whoever admits jobs may compute itself (`Batcher.nextIfBrief`).
    public var brief: Duration = .milliseconds(2)

    /// Numbers below 1 count as 1.
    public init(maxBatch: Int, queue: Int, workers: Int) {
        self.maxBatch = max(1, maxBatch)
        self.queue = max(1, queue)
        self.workers = max(1, workers)
        crew = self.workers
    }

    /// The most pieces that are computed at a time: a worker is left to what takes less long.
    public var pieces: Int { max(1, workers - 1) }

    /// The threads that compute: a single worker has one beside it, for pieces.
    public var threads: Int { max(2, workers) }
}
