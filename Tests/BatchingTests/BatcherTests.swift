import Batching
import Platform
import Synchronization
import TestSupport
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

    /// Whoever admits computes what is brief, and workers the rest: nothing is left to nobody.
    @Test(arguments: [UInt64(1), 2, 3])
    func whatIsDeferredIsComputedOnce(seed: UInt64) throws {
        typealias Instant = ContinuousClock.Instant
        var random = SeededGenerator(seed: seed)
        var limits = BatchingLimits(maxBatch: 8, queue: 1_000_000, workers: 2)
        limits.brief = .seconds(3600)
        let batcher = Batcher<TestJob, Instant>(limits: limits, now: { ContinuousClock.now })
        let completed = Monitor<[Int: Int]>([:])
        @Sendable func finish(_ batch: Batch<TestJob, Instant>) {
            let finished = batcher.finish(batch)
            completed.withLock { for job in finished.completed { $0[job.name, default: 0] += 1 } }
            completed.notifyAll()
        }
        for _ in 0..<2 {
            #expect(startThread { while let batch = batcher.next() { finish(batch) } })
        }
        var name = 0
        var own = 0
        for _ in 0..<1000 {
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let key = (["S", "S", "T", "a"] as [TestKey]).randomElement(using: &random)!
                let job = TestJob(
                    name, of: .random(in: 0..<3, using: &random), key: key,
                    patches: .random(in: 1...4, using: &random))
                name += 1
                _ = batcher.admit(job, deadline: nil, defersBrief: true)
            }
            while let batch = batcher.nextIfBrief() {
                own += batch.patchCount
                finish(batch)
            }
            // Now and then everything is done before more comes, as it is for clients that wait for their answers.
            if Bool.random(using: &random) { completed.wait { $0.count == name ? () : nil } }
        }
        completed.wait { $0.count == name ? () : nil }
        #expect(completed.withLock { $0.values.allSatisfy { $0 == 1 } }, "seed \(seed)")
        #expect(own > 0, "seed \(seed)")
        batcher.stop()
    }
}
