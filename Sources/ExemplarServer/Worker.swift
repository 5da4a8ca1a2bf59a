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

    /// - Parameter crew: shared by all workers, for batches that they compute together.
    init(batcher: InferenceBatcher, outbox: Outbox, statistics: Statistics, crew: Crew?, passes: ImagePasses) {
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
        while let batch = batcher.next() { outbox.post(complete(batch, &scratch)) }
    }

    /// Computes a batch, from its inputs to the replies.
    ///
    /// - Parameter expectsMore: whether the next shared batch is likely to follow at once.
    func complete(
        _ batch: Batch<InferenceJob, ContinuousClock.Instant>, _ scratch: inout Scratch, expectsMore: Bool = false
    ) -> [Delivery] {
        let computed = compute(batch, &scratch, expectsMore)
        let computedAt = ContinuousClock.now
        let finished = batcher.finish(batch, computed: computed)
        var deliveries: [Delivery] = []
        deliveries.reserveCapacity(finished.completed.count + finished.expired.count)
        for job in finished.completed {
            let (reply, error) = job.task.reply()
            deliveries.append(.reply(job.task, reply, error))
        }
        for job in finished.expired { deliveries.append(.expired(job.task)) }
        let now = ContinuousClock.now
        statistics.record(batchOf: batch.patchCount) { figures in
            for job in finished.completed {
                figures.queue.record(job.task.arrival.duration(to: batch.started))
                figures.compute.record(batch.started.duration(to: computedAt))
                figures.total.record(job.task.arrival.duration(to: now))
            }
        }
        return deliveries
    }

    /// What a batch feeds into the network, and the slice and unit that each row belongs to; kept from batch to batch.
    struct Scratch {
        fileprivate var inputs: [EmbedderInput] = []
        fileprivate var places: [(slice: Int, unit: Int)] = []
    }

    /// Computes a batch; returns the units that took time.
    private func compute(
        _ batch: Batch<InferenceJob, ContinuousClock.Instant>, _ scratch: inout Scratch, _ expectsMore: Bool
    ) -> Int {
        switch batch.key.kind {
        case .patches: return computePatches(batch, &scratch, expectsMore)
        case .images:
            var computed = 0
            for slice in batch.slices {
                for image in slice.job.task.images(in: slice.patches) {
                    computeImage(image, slice, batch)
                    computed += slice.job.task.unitCount(ofInput: image)
                }
            }
            return computed
        case .pixels:
            for slice in batch.slices {
                for unit in slice.patches { slice.job.task.transform(unit: unit) }
            }
            return batch.patchCount
        }
    }

    private func computePatches(
        _ batch: Batch<InferenceJob, ContinuousClock.Instant>, _ scratch: inout Scratch, _ expectsMore: Bool
    ) -> Int {
        guard let first = batch.slices.first?.job.task else { return 0 }
        scratch.inputs.removeAll(keepingCapacity: true)
        scratch.places.removeAll(keepingCapacity: true)
        for (index, slice) in batch.slices.enumerated() {
            for unit in slice.patches {
                guard let input = slice.job.task.input(ofUnit: unit) else { continue }
                scratch.inputs.append(input)
                scratch.places.append((index, unit))
            }
        }
        guard !scratch.inputs.isEmpty else { return 0 }
        // A shared batch has the other workers' cores. The crew changes no bit, so that load changes no answer.
        let crew = batch.isShared && crew?.take(expectingMore: expectsMore) == true ? crew : nil
        defer { crew?.release() }
        first.served.embedders.with { embedder in
            let rows = scratch.inputs.withUnsafeBufferPointer { embedder.embed($0, first.selection, crew: crew) }
            for (row, place) in scratch.places.enumerated() {
                batch.slices[place.slice].job.task.take(rows[row], ofUnit: place.unit)
            }
        }
        return scratch.inputs.count
    }

    private func computeImage(
        _ index: Int, _ slice: Slice<InferenceJob>, _ batch: Batch<InferenceJob, ContinuousClock.Instant>
    ) {
        let task = slice.job.task
        let input = task.input(index)
        do throws(ModelError) {
            try passes.with(task.served, height: input.height, width: input.width) {
                batcher.progress(batch, isWaiting: true)
            } _: { embedder in
                // While it waited for memory its client may have gone, or its deadline.
                guard batcher.isWanted(slice) else { return }
                embedder.observer = PassProgress(batcher, batch)
                defer { embedder.observer = nil }
                let crew = crew?.take() == true ? crew : nil
                defer { crew?.release() }
                withUnsafePointer(to: input) { input in
                    let rows = embedder.embed(UnsafeBufferPointer(start: input, count: 1), task.selection, crew: crew)
                    task.set(rows[0], ofInput: index)
                }
            }
        } catch {
            task.fail(
                ResponseError(
                    .overloaded, "\(error) Try again in a second, or send smaller images.",
                    data: [.init("retry_after_ms", 1000)]))
        }
    }
}

/// Tells the batcher, now and then, that the pass over an image gets on: one may take minutes.
private final class PassProgress: ForwardPassObserver {
    private let batcher: InferenceBatcher
    private let batch: Batch<InferenceJob, ContinuousClock.Instant>
    private var last: ContinuousClock.Instant

    init(_ batcher: InferenceBatcher, _ batch: Batch<InferenceJob, ContinuousClock.Instant>) {
        self.batcher = batcher
        self.batch = batch
        last = .now
        batcher.progress(batch)
    }

    func didAdvance() {
        let now = ContinuousClock.now
        guard last.duration(to: now) > .seconds(1) else { return }
        last = now
        batcher.progress(batch)
    }
}
