import Batching
import TestSupport
import Testing

/// Thousands of random histories, each step compared with the naive batcher. What pieces need is now scarce, now
/// plenty.
@Suite struct PropertyTests {
    // Sanitizers, under which they take minutes, have next to nothing to find in a machine that one thread alone
    // touches.
    @Test(arguments: 0..<(isInstrumented ? 4 : 40))
    func randomHistoriesAgreeWithTheNaiveBatcher(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var limits = BatchingLimits(
            maxBatch: .random(in: 1...9, using: &random), queue: .random(in: 1...60, using: &random),
            workers: .random(in: 1...4, using: &random))
        limits.payingBatch = .random(in: 1...6, using: &random)
        var machine = Machine(limits: limits)
        var naive = NaiveBatcher(limits: limits)
        var batches: [Int: TestBatch] = [:]
        var now = ManualInstant(nanoseconds: 0)
        var left: Set<TestJob> = []
        var admitted: Set<TestJob> = []
        /// Of what pieces need: all there is, what is free, and what nobody can have for a while.
        let plenty = 24
        var free = plenty
        var withheld = 0
        naive.free = plenty
        /// Pieces that were refused, the first of which must start before any other.
        var refused: TestJob?

        func next() throws -> TestBatch? {
            var started: TestJob?
            var asked = 0
            let step = machine.next(at: now) { job, piece in
                asked += 1
                #expect(refused == nil || refused == job, "seed \(seed): \(job) is offered what another waits for")
                guard NaiveBatcher.need(job, piece.count) <= free else {
                    refused = job
                    return false
                }
                free -= NaiveBatcher.need(job, piece.count)
                refused = nil
                started = job
                return true
            }
            #expect(asked <= 1, "seed \(seed)")
            guard case .run(let batch, let wakeAnother) = step else {
                #expect(started == nil, "seed \(seed): taken, and not run")
                return nil
            }
            #expect(batch.key.runsInPieces == (started != nil), "seed \(seed)")
            if let started { #expect(batch.slices.map(\.job) == [started], "seed \(seed)") }
            #expect(wakeAnother == (machine.wantedWorkerCount > 0))
            return batch
        }

        func giveBack(_ batch: TestBatch) {
            guard batch.key.runsInPieces, let job = batch.slices.first?.job else { return }
            free += NaiveBatcher.need(job, batch.patchCount)
        }

        func leave(_ jobs: some Sequence<TestJob>) {
            for job in jobs { #expect(left.insert(job).inserted, "seed \(seed): \(job) left twice") }
        }

        for step in 0..<600 {
            now = now.advanced(by: .nanoseconds(Int.random(in: 0...20, using: &random)))
            switch Int.random(in: 0..<11, using: &random) {
            case 10:
                // As when models are loaded beside what runs, and as when that is over.
                let taken = withheld > 0 ? -withheld : Int.random(in: 0...max(0, free), using: &random)
                withheld += taken
                free -= taken
                naive.free -= taken
            case 0...4:
                let job = TestJob(
                    step, of: .random(in: 0..<5, using: &random),
                    key: (["a", "b", "C", "D", "3", "8"] as [TestKey]).randomElement(using: &random)!,
                    patches: .random(in: 1...(step % 7 == 0 ? 20 : 3), using: &random))
                let deadline =
                    Bool.random(using: &random)
                    ? now.advanced(by: .nanoseconds(Int.random(in: 0...300, using: &random))) : nil
                let admission = machine.admit(job, deadline: deadline, at: now)
                if let deadline, deadline <= now {
                    #expect(admission == .expired)
                } else if naive.admit(job, deadline: deadline, at: now) {
                    #expect(admission == .admitted, "seed \(seed), step \(step)")
                    admitted.insert(job)
                } else {
                    guard case .refused(let retryAfter) = admission else {
                        Issue.record("seed \(seed), step \(step): \(admission)")
                        return
                    }
                    #expect(retryAfter >= .milliseconds(1))
                    naive.didRefuse(job, retryAfter: retryAfter, at: now)
                }
            case 5...6:
                guard let worker = (0..<limits.threads).first(where: { batches[$0] == nil }) else { continue }
                let expected = naive.next(worker: worker)
                guard let batch = try next() else {
                    #expect(expected == nil, "seed \(seed), step \(step)")
                    continue
                }
                batches[worker] = batch
                #expect(batch.isShared == naive.isSharing, "seed \(seed), step \(step)")
                // The naive one deals patch by patch: the same patches in another order.
                let patches = batch.slices.flatMap { slice in
                    slice.patches.map { NaiveBatcher.Patch(job: slice.job, index: $0) }
                }
                #expect(patches.count == batch.patchCount)
                #expect(sorted(patches) == sorted(expected ?? []), "seed \(seed), step \(step)")
                #expect(batch.slices.allSatisfy { $0.job.key == batch.key })
            case 7:
                guard let worker = batches.keys.sorted().randomElement(using: &random) else { continue }
                let batch = try #require(batches[worker])
                batches[worker] = nil
                let (complete, wake) = naive.finish(worker: worker)
                let finished = machine.finish(batch, at: now)
                giveBack(batch)
                #expect(finished.wake == wake, "seed \(seed), step \(step)")
                #expect(Set(finished.completed + finished.expired) == complete, "seed \(seed), step \(step)")
                #expect(finished.expired.allSatisfy { naive.deadlines[$0].map { $0 < now } ?? false })
                #expect(finished.completed.allSatisfy { naive.deadlines[$0].map { $0 >= now } ?? true })
                leave(finished.completed + finished.expired)
            case 8:
                let deadlines = naive.deadlines
                let gone = naive.remove { deadlines[$0].map { $0 <= now } ?? false }
                let expired = machine.expire(at: now)
                #expect(Set(expired) == gone, "seed \(seed), step \(step)")
                if let job = refused, gone.contains(job) { refused = nil }
                leave(expired)
            default:
                guard Int.random(in: 0..<4, using: &random) == 0 else { continue }
                let connection = ConnectionID(.random(in: 0..<5, using: &random))
                let cancelled = machine.cancel(connection)
                let gone = naive.remove { $0.connection == connection }
                #expect(Set(cancelled) == gone, "seed \(seed), step \(step)")
                if let job = refused, gone.contains(job) { refused = nil }
                leave(cancelled)
            }
            #expect(
                machine.queuedPatchCount == naive.waiting.count + naive.heldBack.count, "seed \(seed), step \(step)")
            #expect(machine.jobCount == naive.unfinished.count, "seed \(seed), step \(step)")
            let earliest = naive.unfinished.keys.compactMap { naive.deadlines[$0] }.min()
            #expect(machine.nextDeadline == earliest, "seed \(seed), step \(step)")
            #expect(machine.idleWorkerCount == naive.idle)
            #expect(machine.wantedWorkerCount == naive.wanted, "seed \(seed), step \(step)")
            #expect(free == naive.free, "seed \(seed), step \(step)")
        }

        // Drained, every admitted job leaves, each exactly once.
        machine.drain()
        #expect(machine.admit(TestJob(9999), deadline: nil, at: now) == .draining)
        free += withheld
        for batch in batches.values {
            giveBack(batch)
            let finished = machine.finish(batch, at: now)
            leave(finished.completed + finished.expired)
        }
        var rounds = 0
        while let batch = try next(), rounds < 10_000 {
            giveBack(batch)
            let finished = machine.finish(batch, at: now)
            leave(finished.completed + finished.expired)
            rounds += 1
        }
        #expect(machine.isDrained, "seed \(seed)")
        #expect(left == admitted, "seed \(seed)")
        #expect(free == plenty, "seed \(seed)")
    }

    private func sorted(_ patches: [NaiveBatcher.Patch]) -> [NaiveBatcher.Patch] {
        patches.sorted { ($0.job.name, $0.index) < ($1.job.name, $1.index) }
    }
}
