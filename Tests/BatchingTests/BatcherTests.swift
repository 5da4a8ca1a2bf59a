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
        batcher.stop()
        // A job may be completed by one worker before another has counted its part.
        tally.wait { $0.endedWorkers == workers ? () : nil }
        tally.withLock { tally in
            #expect(tally.completed.values.allSatisfy { $0 == 1 })
            for name in 0..<jobCount { #expect(tally.patches[name] == name % 11 + 1) }
        }
    }

    /// What is read beside the lock is what the state machine says, after whatever happened.
    @Test func figuresBesideTheLock() {
        let seed: UInt64 = 20_261_127
        var random = SeededGenerator(seed: seed)
        let start = ContinuousClock.now
        let clock = Monitor(start)
        let batcher = Batcher<TestJob, ContinuousClock.Instant>(
            limits: BatchingLimits(maxBatch: 8, queue: 40, workers: 3), now: { clock.withLock { $0 } })
        var running: [Batch<TestJob, ContinuousClock.Instant>] = []
        var (refusals, deadlines, expired) = (0, 0, 0)
        for name in 0..<4000 {
            switch Int.random(in: 0..<8, using: &random) {
            case 0..<4:
                let job = TestJob(
                    name, of: .random(in: 0..<3, using: &random),
                    key: (["a", "b", "S", "3"] as [TestKey]).randomElement(using: &random)!,
                    patches: .random(in: 1...6, using: &random))
                let wait = Int.random(in: -1...9, using: &random)
                _ = batcher.admit(
                    job, deadline: wait > 5 ? nil : clock.withLock { $0 + .nanoseconds(wait * 1_000_003) })
            case 4: expired += batcher.expire().count
            case 5 where name % 5 == 0: _ = batcher.cancel(ConnectionID(.random(in: 0..<3, using: &random)))
            case 5: clock.withLock { $0 += .nanoseconds(700_001) }
            case 6 where !running.isEmpty: _ = batcher.finish(running.removeFirst())
            default:
                guard batcher.read({ $0.wantedWorkerCount }) > 0 else { continue }
                if let batch = batcher.next(reserve: { _, _ in true }) { running.append(batch) }
            }
            let (queued, batchable, deadline) = batcher.read {
                ($0.queuedPatchCount, $0.batchablePatchCount, $0.nextDeadline)
            }
            #expect(batcher.queuedPatchCount == queued, "seed \(seed), step \(name)")
            #expect(batcher.batchablePatchCount == batchable, "seed \(seed), step \(name)")
            // Whole nanoseconds are counted, and these are.
            #expect(batcher.nextDeadline == deadline, "seed \(seed), step \(name)")
            if deadline != nil { deadlines += 1 }
            for isPiece in [false, true, nil] {
                let count = Int.random(in: 0...50, using: &random)
                let connection = ConnectionID(.random(in: 0..<3, using: &random))
                let now = clock.withLock { $0 }
                let expected = batcher.read { machine in
                    var machine = machine
                    return machine.refusal(of: count, inPieces: isPiece, for: connection, at: now)
                }
                let found = batcher.refusal(of: count, inPieces: isPiece, for: connection)
                #expect(found == expected, "seed \(seed), step \(name)")
                if expected != nil { refusals += 1 }
            }
        }
        #expect(refusals > 100 && deadlines > 100 && expired > 100)
    }

    /// Memory for one piece at a time: while it runs, the other worker is free for what needs none.
    @Test func noWorkerWaitsForWhatAPieceNeeds() {
        typealias Instant = ContinuousClock.Instant
        let batcher = Batcher<TestJob, Instant>(
            limits: BatchingLimits(maxBatch: 8, queue: 1000, workers: 2), now: { ContinuousClock.now })
        struct State {
            var isFree = true
            var mayEnd = false
            var completed: [Int] = []
        }
        let state = Monitor(State())
        for _ in 0..<2 {
            let isStarted = startThread {
                func reserve(_ job: TestJob, _ piece: Range<Int>) -> Bool {
                    state.withLock { state in
                        defer { state.isFree = false }
                        return state.isFree
                    }
                }
                while let batch = batcher.next(reserve: reserve) {
                    if batch.key.runsInPieces { state.wait { $0.mayEnd ? () : nil } }
                    let finished = batcher.finish(batch)
                    state.withLock { state in
                        state.completed += finished.completed.map(\.name)
                        // Not before: the other worker would start the next piece, and might note its end first.
                        if batch.key.runsInPieces { state.isFree = true }
                    }
                    if batch.key.runsInPieces { batcher.retry() }
                    state.notifyAll()
                }
            }
            #expect(isStarted)
        }
        for name in 0..<3 { _ = batcher.admit(TestJob(name, of: UInt64(name), key: "8", patches: 5), deadline: nil) }
        for name in 10..<60 {
            _ = batcher.admit(TestJob(name, of: 7), deadline: nil)
            // Its turn comes although a piece runs and two wait.
            state.wait { $0.completed.contains(name) ? () : nil }
        }
        #expect(state.withLock { $0.completed.allSatisfy { $0 >= 10 } })
        state.withLock { $0.mayEnd = true }
        state.notifyAll()
        state.wait { $0.completed.count == 53 ? () : nil }
        #expect(state.withLock { $0.completed.filter { $0 < 10 } } == [0, 1, 2])
        batcher.stop()
    }

    /// The worker sleeps while the first piece does not fit, and nothing else happens but that its client leaves.
    @Test func whoWaitedBehindAPieceThatLeavesStarts() {
        typealias Instant = ContinuousClock.Instant
        let batcher = Batcher<TestJob, Instant>(
            limits: BatchingLimits(maxBatch: 8, queue: 1000, workers: 1), now: { ContinuousClock.now })
        let state = Monitor((asked: [Int](), completed: [Int]()))
        let isStarted = startThread {
            func reserve(_ job: TestJob, _ piece: Range<Int>) -> Bool {
                state.withLock { $0.asked.append(job.name) }
                state.notifyAll()
                return piece.count < 8
            }
            while let batch = batcher.next(reserve: reserve) {
                let finished = batcher.finish(batch)
                state.withLock { $0.completed += finished.completed.map(\.name) }
                state.notifyAll()
            }
        }
        #expect(isStarted)
        _ = batcher.admit(TestJob(1, of: 1, key: "8", patches: 8), deadline: nil)
        _ = batcher.admit(TestJob(2, of: 2, key: "3", patches: 3), deadline: nil)
        state.wait { $0.asked.contains(1) ? () : nil }
        #expect(batcher.cancel(ConnectionID(1)).map(\.name) == [1])
        state.wait { $0.completed == [2] ? () : nil }
        batcher.stop()
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
                _ = batcher.admit(job, deadline: nil, isAccepted: false, defersBrief: true)
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
