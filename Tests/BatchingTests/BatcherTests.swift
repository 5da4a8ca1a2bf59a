import Batching
import Platform
import Synchronization
import Testing

@Suite struct BatcherTests {
    /// Real threads, real clock: every patch of every job is computed once, every job completes once.
    @Test func workersComputeEveryPatchOnce() throws {
        typealias Instant = ContinuousClock.Instant
        let jobCount = 2000
        let workers = 3
        let batcher = Batcher<TestJob, Instant>(
            limits: BatchingLimits(maxBatch: 8, queue: 1_000_000, workers: workers), now: { ContinuousClock.now })
        struct Tally {
            var patches: [Int: Int] = [:]
            var completed: [Int: Int] = [:]
            var endedWorkers = 0
        }
        let tally = Monitor(Tally())
        for _ in 0..<workers {
            let isStarted = startThread {
                while let batch = batcher.next() {
                    let finished = batcher.finish(batch)
                    tally.withLock { tally in
                        for slice in batch.slices { tally.patches[slice.job.name, default: 0] += slice.patches.count }
                        for job in finished.completed { tally.completed[job.name, default: 0] += 1 }
                    }
                    tally.notifyAll()
                }
                tally.withLock { $0.endedWorkers += 1 }
                tally.notifyAll()
            }
            #expect(isStarted)
        }
        for name in 0..<jobCount {
            _ = batcher.admit(TestJob(name, of: UInt64(name % 7), patches: name % 11 + 1), deadline: nil)
        }
        tally.wait { $0.completed.count == jobCount ? () : nil }
        tally.withLock { tally in
            #expect(tally.completed.values.allSatisfy { $0 == 1 })
            for name in 0..<jobCount { #expect(tally.patches[name] == name % 11 + 1) }
        }
        batcher.stop()
        tally.wait { $0.endedWorkers == workers ? () : nil }
    }
}
