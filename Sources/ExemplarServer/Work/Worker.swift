import Batching
import ExemplarNetwork
import Glibc
import JSONRPC
import Platform

typealias InferenceBatcher = Batcher<InferenceJob, ContinuousClock.Instant>

/// Computes batches: on a thread of its own until the batcher is stopped, or one at a time on its caller's.
final class Worker: Sendable {
    private let batcher: InferenceBatcher
    private let outbox: Outbox
    private let statistics: Statistics
    private let crew: Crew?
    private let passes: ImagePasses
    private let progressInterval: Duration

    /// - Parameters:
    ///   - crew: shared by all workers, for batches that they compute together.
    ///   - progressInterval: how often the pass over an image tells that it gets on.
    init(
        batcher: InferenceBatcher, outbox: Outbox, statistics: Statistics, crew: Crew?, passes: ImagePasses,
        progressInterval: Duration
    ) {
        self.progressInterval = progressInterval
        self.batcher = batcher
        self.outbox = outbox
        self.statistics = statistics
        self.crew = crew
        self.passes = passes
    }

    /// Starts the thread. It ends with the process, or some time after `Batcher.stop`.
    func start() throws(ServerError) {
        guard startThread({ self.run() }) else { throw ServerError("Cannot start a worker thread: \(errorText()).") }
    }

    private func run() {
        var scratch = Scratch()
        var pass: ImagePasses.Pass?
        while let batch = batcher.next(reserve: { reserve($0, $1, &pass) }) {
            outbox.post(complete(batch, &scratch, pass))
            pass = nil
        }
    }

    /// Computes a batch, from its inputs to the replies.
    ///
    /// - Parameters:
    ///   - pass: the memory for the image that the batch is a piece of; nil for patches.
    ///   - expectsMore: whether the last one came at once after an answer, and the next is likely to.
    func complete(
        _ batch: Batch<InferenceJob, ContinuousClock.Instant>, _ scratch: inout Scratch,
        _ pass: ImagePasses.Pass? = nil, expectsMore: Bool = false
    ) -> [Delivery] {
        let (computed, wasShared) = compute(batch, &scratch, pass, expectsMore)
        let computedAt = ContinuousClock.now
        // First of all: once it is finished, another worker may answer the request that it was a part of.
        statistics.record(computed, of: batch.key.kind)
        let finished = batcher.finish(batch, computed: computed, wasShared: wasShared)
        var deliveries: [Delivery] = []
        deliveries.reserveCapacity(finished.completed.count + finished.expired.count)
        for job in finished.completed {
            let (reply, error) = job.task.reply()
            deliveries.append(.reply(job.task, reply, error))
        }
        for job in finished.expired { deliveries.append(.expired(job.task)) }
        guard !finished.completed.isEmpty else { return deliveries }
        let now = ContinuousClock.now
        statistics.update { figures in
            for job in finished.completed {
                figures.queue.record(job.task.arrival.duration(to: batch.started))
                figures.compute.record(batch.started.duration(to: computedAt))
                figures.total.record(job.task.arrival.duration(to: now))
            }
        }
        return deliveries
    }

    /// Takes the memory for the image that a piece of a job is; false where it has to wait for others to end.
    private func reserve(_ job: InferenceJob, _ piece: Range<Int>, _ pass: inout ImagePasses.Pass?) -> Bool {
        let task = job.task
        // What has failed takes its turns and nothing else.
        guard !task.hasFailed else { return true }
        let image = task.image(ofUnit: piece.lowerBound)
        let entry = task.inputs.entries[image]
        switch passes.reserve(task.served, height: entry.height, width: entry.width, task.passByteCounts[image]) {
        case .reserved(let reserved): pass = reserved
        // Its turn all the same: to fail.
        case .never: pass = nil
        case .wait: return false
        }
        return true
    }

    /// What a batch feeds into the network, and the slice and unit that each row belongs to; kept from batch to batch.
    struct Scratch {
        fileprivate var inputs: [EmbedderInput] = []
        fileprivate var places: [(slice: Int, unit: Int)] = []
    }

    /// Computes a batch; returns the units that took time, and whether it had all workers' cores for them.
    private func compute(
        _ batch: Batch<InferenceJob, ContinuousClock.Instant>, _ scratch: inout Scratch, _ pass: ImagePasses.Pass?,
        _ expectsMore: Bool
    ) -> (computed: Int, wasShared: Bool) {
        switch batch.key.kind {
        case .patches: return computePatches(batch, &scratch, expectsMore)
        case .images:
            return (computeImage(batch, pass), false)
        case .pixels:
            for slice in batch.slices {
                for unit in slice.patches { slice.job.task.transform(unit: unit) }
            }
            return (batch.patchCount, false)
        }
    }

    private func computePatches(
        _ batch: Batch<InferenceJob, ContinuousClock.Instant>, _ scratch: inout Scratch, _ expectsMore: Bool
    ) -> (computed: Int, wasShared: Bool) {
        guard let first = batch.slices.first?.job.task else { return (0, false) }
        scratch.inputs.removeAll(keepingCapacity: true)
        scratch.places.removeAll(keepingCapacity: true)
        for (index, slice) in batch.slices.enumerated() {
            for unit in slice.patches {
                guard let input = slice.job.task.input(ofUnit: unit) else { continue }
                scratch.inputs.append(input)
                scratch.places.append((index, unit))
            }
        }
        guard !scratch.inputs.isEmpty else { return (0, false) }
        // A shared batch has the other workers' cores. The crew changes no bit, so that load changes no answer.
        // Where more is expected its members are awake.
        let isShared = batch.isShared || expectsMore && first.served.sharesSingles
        let crew = isShared && crew?.take(expectingMore: expectsMore) == true ? crew : nil
        defer { crew?.release() }
        first.served.embedders.with(isShared: crew != nil) { embedder in
            let rows = scratch.inputs.withUnsafeBufferPointer { embedder.embed($0, first.selection, crew: crew) }
            for (row, place) in scratch.places.enumerated() {
                batch.slices[place.slice].job.task.take(rows[row], ofUnit: place.unit)
            }
        }
        return (scratch.inputs.count, crew != nil)
    }

    /// Computes the image that a batch is; returns the units that took time.
    ///
    /// - Parameter pass: the memory for it; nil where there is none, or no need.
    private func computeImage(_ batch: Batch<InferenceJob, ContinuousClock.Instant>, _ pass: ImagePasses.Pass?) -> Int {
        // A piece is one image.
        guard let slice = batch.slices.first, !slice.job.task.hasFailed else { return 0 }
        let task = slice.job.task
        let index = task.image(ofUnit: slice.patches.lowerBound)
        let input = task.input(index)
        do throws(ModelError) {
            guard let pass else {
                throw ModelError(
                    "There is no memory now for an image of \(input.height) × \(input.width)."
                )
            }
            let progress = PassProgress(batcher, batch, interval: progressInterval)
            try passes.run(pass, task.served) { embedder in
                guard progress.isWanted else { return }
                embedder.observer = progress
                defer { embedder.observer = nil }
                let crew = crew?.take() == true ? crew : nil
                defer { crew?.release() }
                withUnsafePointer(to: input) { input in
                    let rows = embedder.embed(UnsafeBufferPointer(start: input, count: 1), task.selection, crew: crew)
                    if progress.isWanted { task.set(rows[0], ofInput: index) }
                }
            }
            return progress.isWanted ? batch.patchCount : 0
        } catch {
            task.fail(.overloaded(.seconds(1)) { "\(error) Try again in \($0) ms, or send smaller images." })
            return 0
        }
    }
}

/// Tells the batcher, now and then, that the pass over an image gets on, and ends it where nobody waits for it any
/// more: one may take minutes.
private final class PassProgress: ForwardPassObserver {
    /// Whether the job was still there when last looked for.
    private(set) var isWanted: Bool
    private let batcher: InferenceBatcher
    private let batch: Batch<InferenceJob, ContinuousClock.Instant>
    private let interval: Duration
    private var last: ContinuousClock.Instant

    init(
        _ batcher: InferenceBatcher, _ batch: Batch<InferenceJob, ContinuousClock.Instant>, interval: Duration
    ) {
        self.interval = interval
        self.batcher = batcher
        self.batch = batch
        last = .now
        isWanted = batcher.progress(batch)
    }

    func didAdvance() -> Bool {
        let now = ContinuousClock.now
        guard isWanted, last.duration(to: now) > interval else { return isWanted }
        last = now
        isWanted = batcher.progress(batch)
        return isWanted
    }
}
