import Batching
import ExemplarNetwork
import Glibc
import JSONRPC

typealias EmbedBatcher = Batcher<EmbedJob, ContinuousClock.Instant>

/// A thread that computes batches until the batcher is stopped.
final class Worker: Sendable {
    private let batcher: EmbedBatcher
    private let outbox: Outbox
    private let statistics: Statistics

    init(batcher: EmbedBatcher, outbox: Outbox, statistics: Statistics) {
        self.batcher = batcher
        self.outbox = outbox
        self.statistics = statistics
    }

    /// Starts the thread. It ends with the process, or some time after `Batcher.stop`.
    func start() throws(ServerError) {
        guard startThread({ self.run() }) else { throw ServerError("Cannot start a worker thread: \(errorText()).") }
    }

    private func run() {
        var patches: [EmbedderInput] = []
        while let batch = batcher.next() {
            compute(batch, &patches)
            let now = ContinuousClock.now
            let finished = batcher.finish(batch)
            statistics.record(batchOf: batch.patchCount)
            for job in finished.completed {
                let task = job.task
                outbox.post(.reply(task.address, task.reply()))
                statistics.update {
                    $0.queue.record(task.arrival.duration(to: batch.started))
                    $0.compute.record(batch.started.duration(to: now))
                    $0.total.record(task.arrival.duration(to: .now))
                }
            }
            for job in finished.expired { outbox.post(.expired(job.task.address)) }
        }
    }

    private func compute(_ batch: Batch<EmbedJob, ContinuousClock.Instant>, _ patches: inout [EmbedderInput]) {
        guard let first = batch.slices.first?.job.task else { return }
        patches.removeAll(keepingCapacity: true)
        for slice in batch.slices {
            for patch in slice.patches { patches.append(slice.job.task.pixels.input(of: patch)) }
        }
        first.served.embedders.with { embedder in
            let rows = patches.withUnsafeBufferPointer { embedder.embed($0, first.selection) }
            var position = 0
            for slice in batch.slices {
                slice.job.task.take(rows, from: position, patches: slice.patches)
                position += slice.patches.count
            }
        }
    }
}
