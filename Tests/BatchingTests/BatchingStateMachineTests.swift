import Batching
import Testing

@Suite struct BatchingStateMachineTests: MachineTests {
    @Test func aSinglePatchRunsAtOnce() {
        var machine = machine()
        #expect(machine.admit(TestJob(1), deadline: nil, at: start) == .admitted)
        #expect(machine.wantedWorkerCount == 1)
        #expect(summary(next(&machine)) == ["1:0..<1"])
        #expect(next(&machine) == nil)
    }

    @Test func idleWorkersShareWhatWaits() {
        var machine = machine(workers: 3)
        #expect(machine.admit(TestJob(1, patches: 10), deadline: nil, at: start) == .admitted)
        #expect(machine.wantedWorkerCount == 3)
        #expect(summary(next(&machine)) == ["1:0..<4"])
        #expect(summary(next(&machine)) == ["1:4..<7"])
        #expect(summary(next(&machine)) == ["1:7..<10"])
    }

    @Test func fewPatchesOfAKeyThatSharesAreOneBatchForAll() throws {
        var machine = machine(workers: 3)
        #expect(machine.admit(TestJob(1, key: "S", patches: 4), deadline: nil, at: start) == .admitted)
        let batch = try #require(next(&machine))
        #expect(summary(batch) == ["1:0..<4"])
        #expect(batch.isShared)
        // What comes meanwhile waits, even of a key that does not share, and nobody is woken in vain.
        #expect(machine.admit(TestJob(2, key: "a", patches: 2), deadline: nil, at: start) == .admitted)
        #expect(next(&machine) == nil)
        #expect(machine.idleWorkerCount == 0 && machine.wantedWorkerCount == 0)
        #expect(machine.finish(batch, at: start).wake == 2)
        #expect(summary(next(&machine)) == ["2:0..<1"])
        #expect(machine.idleWorkerCount == 2)
    }

    @Test func whatWaitsIsBriefWhereASharedBatchOfItIsKnownToBe() throws {
        var limits = BatchingLimits(maxBatch: 8, queue: 64, workers: 2)
        limits.brief = .nanoseconds(200)
        var machine = Machine(limits: limits)
        #expect(!machine.isBrief)
        admit([TestJob(1, key: "S")], to: &machine)
        // Nobody knows yet what a patch costs.
        #expect(!machine.isBrief)
        let first = try #require(next(&machine))
        _ = machine.finish(first, at: start.advanced(by: .nanoseconds(100)))
        #expect(!machine.isBrief)
        admit([TestJob(2, key: "S"), TestJob(3, of: 2, key: "S")], to: &machine)
        #expect(machine.isBrief)
        // 300 ns.
        admit([TestJob(4, of: 3, key: "S")], to: &machine)
        #expect(!machine.isBrief)
        _ = machine.cancel(ConnectionID(3))
        #expect(machine.isBrief)
        _ = try #require(next(&machine))
        // All workers are at it.
        admit([TestJob(5, key: "S")], to: &machine)
        #expect(!machine.isBrief)
    }

    @Test func ofWhatIsNotSharedOnePatchAloneIsBrief() throws {
        var limits = BatchingLimits(maxBatch: 8, queue: 64, workers: 2)
        limits.brief = .nanoseconds(1)
        var machine = Machine(limits: limits)
        admit([TestJob(1)], to: &machine)
        let batch = try #require(next(&machine))
        _ = machine.finish(batch, at: start.advanced(by: .nanoseconds(1)))
        admit([TestJob(2)], to: &machine)
        #expect(machine.isBrief && machine.wantedWorkerCount == 1)
        admit([TestJob(3, of: 2)], to: &machine)
        #expect(!machine.isBrief && machine.wantedWorkerCount == 2)
    }

    @Test func manyPatchesAreNotShared() throws {
        var machine = machine(workers: 2)
        admit([TestJob(1, key: "S", patches: 6)], to: &machine)
        let first = try #require(next(&machine))
        #expect(!first.isShared && summary(first) == ["1:0..<3"])
        // Nor where a worker is busy already.
        let second = try #require(next(&machine))
        #expect(!second.isShared && summary(second) == ["1:3..<6"])
    }

    @Test func aSharedBatchCostsEveryWorker() throws {
        var machine = machine(queue: 10, workers: 2)
        admit([TestJob(1, key: "S", patches: 4)], to: &machine)
        let batch = try #require(next(&machine))
        _ = machine.finish(batch, at: start.advanced(by: .milliseconds(20)))
        // Four patches in 20 ms, whoever computes them: so many wait, and take 50 ms.
        admit([TestJob(2, patches: 10)], to: &machine)
        #expect(
            machine.admit(TestJob(3), deadline: nil, at: start) == .refused(retryAfter: .milliseconds(50)))
    }

    /// Whoever gets free takes what pays, and of more than that its part: the next to get free finds something, too.
    @Test func beyondABatchThatPaysTheBusyGetTheirPart() {
        for (waiting, taken) in [(7, 7), (8, 8), (9, 8), (16, 8), (17, 9), (31, 16), (200, 64)] {
            var machine = machine(maxBatch: 64, queue: 256, workers: 2)
            admit([TestJob(1)], to: &machine)
            #expect(next(&machine)?.patchCount == 1)
            admit([TestJob(2, patches: waiting)], to: &machine)
            #expect(next(&machine)?.patchCount == taken, "\(waiting)")
        }
    }

    @Test func aLargeJobIsCutAtTheLargestBatchAndCompletesOnce() {
        var machine = machine(maxBatch: 4)
        admit([TestJob(1, patches: 9)], to: &machine)
        var completed: [[TestJob]] = []
        while let batch = next(&machine) { completed.append(machine.finish(batch, at: start).completed) }
        #expect(completed == [[], [], [TestJob(1, patches: 9)]])
    }

    @Test func batchesHoldOneKey() {
        var machine = machine()
        admit([TestJob(1, key: "a"), TestJob(2, of: 2, key: "b"), TestJob(3, of: 3, key: "a")], to: &machine)
        #expect(summary(next(&machine)) == ["1:0..<1", "3:0..<1"])
        admit([], to: &machine)
    }

    @Test func keysOfOneConnectionTakeTurns() {
        var machine = machine(maxBatch: 2)
        admit((0..<4).map { TestJob($0, key: "a") } + (4..<8).map { TestJob($0, key: "b") }, to: &machine)
        var order: [String] = []
        while let batch = next(&machine) {
            order.append(batch.key.name)
            _ = machine.finish(batch, at: start)
        }
        #expect(order == ["a", "b", "a", "b"])
    }

    @Test func aFloodDelaysAQuietClientByOneBatch() throws {
        var machine = machine(maxBatch: 8, queue: 4096)
        admit((0..<1000).map { TestJob($0, of: 1) }, to: &machine)
        let running = try #require(next(&machine))
        admit([TestJob(5000, of: 2, key: "other")], to: &machine)
        _ = machine.finish(running, at: start)
        // Its turn comes after one more batch of the flood at most.
        let second = try #require(next(&machine))
        _ = machine.finish(second, at: start)
        let third = try #require(next(&machine))
        #expect((second.slices + third.slices).contains { $0.job.name == 5000 })
    }

    /// What is meant for all workers may fall to one, and a worker's batch to all that are awake.
    @Test(arguments: [("S", wasShared: false), ("a", wasShared: true)])
    func costIsThatOfTheWorkersThatComputed(key: String, wasShared: Bool) throws {
        var machine = machine(queue: 10, workers: 2)
        admit([TestJob(1, key: TestKey(stringLiteral: key))], to: &machine)
        let batch = try #require(next(&machine))
        #expect(batch.isShared != wasShared)
        _ = machine.finish(batch, wasShared: wasShared, at: start.advanced(by: .milliseconds(20)))
        admit([TestJob(2, key: TestKey(stringLiteral: key), patches: 10)], to: &machine)
        #expect(machine.timeToCompute() == .milliseconds(wasShared ? 200 : 100))
    }

    /// What a key costs says nothing of another, once both are known.
    @Test func aKeyCostsWhatItsOwnBatchesDid() throws {
        var limits = BatchingLimits(maxBatch: 8, queue: 100, workers: 1)
        limits.brief = .milliseconds(20)
        var machine = Machine(limits: limits)
        for (key, duration) in [("a", Duration.microseconds(31_250)), ("b", .microseconds(15_625))] {
            admit([TestJob(1, key: TestKey(stringLiteral: key))], to: &machine)
            let batch = try #require(next(&machine))
            _ = machine.finish(batch, at: start.advanced(by: duration))
        }
        admit([TestJob(2, key: "a")], to: &machine)
        #expect(!machine.isBrief)
        _ = machine.cancel(ConnectionID(1))
        admit([TestJob(3, key: "b")], to: &machine)
        #expect(machine.isBrief)
        admit([TestJob(4, key: "a", patches: 50), TestJob(5, key: "b", patches: 40)], to: &machine)
        // 50/32 s and 41/64 s.
        #expect(machine.timeToCompute() == .microseconds(2_203_125))
    }

    @Test func connectionsShareABatchInEqualParts() {
        var machine = machine(maxBatch: 9)
        admit(
            [TestJob(1, of: 1, patches: 20), TestJob(2, of: 2, patches: 1), TestJob(3, of: 3, patches: 20)],
            to: &machine)
        #expect(summary(next(&machine)) == ["1:0..<4", "2:0..<1", "3:0..<4"])
    }

    @Test func aFullQueueRefusesWithTheTimeItTakes() throws {
        var machine = machine(maxBatch: 8, queue: 10)
        admit([TestJob(1, patches: 4)], to: &machine)
        let batch = try #require(next(&machine))
        _ = machine.finish(batch, at: start.advanced(by: .milliseconds(20)))
        admit([TestJob(2, patches: 8)], to: &machine)
        // Measured: 5 ms a patch. Eight wait.
        #expect(
            machine.admit(TestJob(3, patches: 3), deadline: nil, at: start) == .refused(retryAfter: .milliseconds(40)))
        #expect(machine.admit(TestJob(4, patches: 2), deadline: nil, at: start) == .admitted)
    }

    @Test func deadlinesExpireQueuedAndRunningJobs() throws {
        var machine = machine(maxBatch: 2)
        let soon = start.advanced(by: .milliseconds(5))
        let late = start.advanced(by: .milliseconds(50))
        _ = machine.admit(TestJob(1, patches: 4), deadline: soon, at: start)
        _ = machine.admit(TestJob(2), deadline: late, at: start)
        #expect(machine.nextDeadline == soon)
        let batch = try #require(next(&machine))
        #expect(machine.expire(at: soon).map(\.name) == [1])
        #expect(machine.nextDeadline == late)
        #expect(machine.queuedPatchCount == 1)
        // The running slice of the expired job is not answered a second time.
        #expect(machine.finish(batch, at: soon).completed == [])
        let second = try #require(next(&machine))
        #expect(machine.finish(second, at: late.advanced(by: .nanoseconds(1))).expired.map(\.name) == [2])
        #expect(machine.admit(TestJob(3), deadline: start, at: start) == .expired)
    }

    @Test func aConnectionThatIsGoneIsNotComputedFor() throws {
        var machine = machine(maxBatch: 2)
        admit([TestJob(1, of: 1, patches: 3), TestJob(2, of: 2), TestJob(3, of: 1)], to: &machine)
        let batch = try #require(next(&machine))
        #expect(machine.cancel(ConnectionID(1)).map(\.name) == [1, 3])
        #expect(machine.finish(batch, at: start).completed.map(\.name) == [2])
        #expect(next(&machine) == nil)
        #expect(machine.jobCount == 0)
    }

    @Test func theOldestRunningBatchIsKnown() throws {
        var machine = machine(maxBatch: 1, workers: 2)
        admit([TestJob(1), TestJob(2)], to: &machine)
        let first = try #require(next(&machine))
        #expect(machine.oldestProgress == start)
        let later = start.advanced(by: .seconds(40))
        let second = try #require(next(&machine))
        _ = machine.progress(first, at: later)
        #expect(machine.oldestProgress == start, "the second has not got on")
        _ = machine.progress(second, at: later.advanced(by: .seconds(1)))
        #expect(machine.oldestProgress == later)
        _ = machine.finish(first, at: later)
        #expect(machine.oldestProgress == later.advanced(by: .seconds(1)))
        _ = machine.progress(first, at: later)
        _ = machine.finish(second, at: later)
        #expect(machine.oldestProgress == nil)
    }

    /// A batch is told once nobody waits for it: as long as one of its jobs is there somebody does.
    @Test func aBatchIsWantedUntilAllItsJobsHaveLeft() throws {
        var machine = machine()
        let later = start.advanced(by: .seconds(1))
        admit([TestJob(1)], to: &machine)
        _ = machine.admit(TestJob(2, of: 2), deadline: later, at: start)
        let batch = try #require(next(&machine))
        #expect(batch.slices.count == 2)
        var isWanted = [machine.progress(batch, at: start)]
        _ = machine.cancel(ConnectionID(1))
        isWanted.append(machine.progress(batch, at: start))
        #expect(machine.expire(at: later).count == 1)
        isWanted.append(machine.progress(batch, at: later))
        #expect(isWanted == [true, true, false])
        let left = machine.finish(batch, computed: 0, at: later).completed
        #expect(left == [])
    }

    /// A job that counts how often it is asked whose it is.
    private struct CountingJob: BatchJob {
        let asked: Monitor<Int>
        let owner: ConnectionID
        var connection: ConnectionID {
            asked.withLock { $0 += 1 }
            return owner
        }
        var key: TestKey { "a" }
        var patchCount: Int { 1 }
    }

    /// A connection that ends costs what it has itself, however much the others have.
    @Test func cancellingLooksAtNoOtherConnectionsJobs() {
        typealias Machine = BatchingStateMachine<CountingJob, ManualInstant>
        let limits = BatchingLimits(maxBatch: 4, queue: 4000, workers: 1)
        var machine = Machine(limits: limits)
        let asked = Monitor(0)
        for index in 0..<limits.queue {
            let owner = ConnectionID(UInt64(index < 3 ? 1 : 2 + index % 50))
            _ = machine.admit(CountingJob(asked: asked, owner: owner), deadline: nil, at: start)
        }
        // Some of it runs.
        guard case .run(let batch, _) = machine.next(at: start) else {
            Issue.record("nothing runs")
            return
        }
        asked.withLock { $0 = 0 }
        #expect(machine.cancel(ConnectionID(1)).count == 3)
        #expect(asked.withLock { $0 } <= 2 * (3 + batch.slices.count))
        #expect(machine.jobCount == limits.queue - 3)
    }

    /// However long one worker's part takes, another gets no further than the lead, and goes on once it is done.
    @Test func aJobIsNoFurtherThanItsLead() throws {
        var machine = machine(maxBatch: 2, workers: 2)
        // The key b has a lead of 4.
        let job = TestJob(1, key: "b", patches: 9)
        admit([job], to: &machine)
        let slow = try #require(next(&machine))
        #expect(summary(slow) == ["1:0..<2"])
        let second = try #require(next(&machine))
        #expect(summary(second) == ["1:2..<4"] && machine.queuedPatchCount == 5)
        #expect(machine.finish(second, at: start).wake == 0)
        #expect(next(&machine) == nil && machine.wantedWorkerCount == 0)
        #expect(machine.finish(slow, at: start).wake == 2)
        var completed: [TestJob] = []
        var order: [String] = []
        while let batch = next(&machine) {
            order += summary(batch)
            completed += machine.finish(batch, at: start).completed
        }
        #expect(order == ["1:4..<6", "1:6..<8", "1:8..<9"] && completed == [job])
        // What is held back leaves with its job.
        admit([job, TestJob(2, of: 2)], to: &machine)
        _ = machine.cancel(job.connection)
        #expect(machine.queuedPatchCount == 1)
    }
}
