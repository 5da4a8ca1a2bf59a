import Batching
import Testing

/// Pieces: what takes long, and what may be lacking.
@Suite struct PieceTests: MachineTests {
    /// What `reserve` was asked for, and the batch.
    private func next(_ machine: inout Machine, free: Int) -> (asked: [Int], batch: TestBatch?) {
        var asked: [Int] = []
        let step = machine.next(at: start) { job, piece in
            asked.append(job.name)
            return piece.count <= free
        }
        guard case .run(let batch, _) = step else { return (asked, nil) }
        return (asked, batch)
    }

    @Test func piecesRunByThemselves() throws {
        var machine = machine(maxBatch: 2)
        // Larger than a batch, and with others of their key: neither cuts nor joins them.
        admit([TestJob(1, of: 1, key: "3", patches: 7), TestJob(2, of: 2, key: "3")], to: &machine)
        var order: [String] = []
        while let batch = next(&machine) {
            order += summary(batch)
            _ = machine.finish(batch, at: start)
        }
        #expect(order == ["1:0..<3", "2:0..<1", "1:3..<6", "1:6..<7"])
    }

    @Test func whatNeedsNothingPassesAPieceThatCannotStart() throws {
        var machine = machine(workers: 2)
        admit([TestJob(1, of: 1, key: "8", patches: 8), TestJob(2, of: 2, patches: 4)], to: &machine)
        let (asked, batch) = next(&machine, free: 7)
        #expect(asked == [1])
        // Half of what can be batched for each of the two workers: the piece does not count.
        #expect(summary(batch) == ["2:0..<2"])
        #expect(summary(next(&machine, free: 7).batch) == ["2:2..<4"])
        #expect(machine.queuedPatchCount == 8)
    }

    /// Small pieces, and patches of its own client, come and go: the large piece is the next to start all the same.
    @Test func aLargePieceIsNotOvertakenByPieces() throws {
        var machine = machine(queue: 1000, workers: 3)
        admit([TestJob(1, of: 1, key: "8", patches: 8)], to: &machine)
        #expect(next(&machine, free: 7).batch == nil)
        for round in 0..<20 {
            let own = TestJob(100 + round, of: 1)
            admit([own, TestJob(200 + round, of: 2, key: "3")], to: &machine)
            let (asked, batch) = next(&machine, free: 7)
            #expect(asked == [1])
            #expect(batch?.slices.map(\.job) == [own])
            _ = machine.finish(try #require(batch), at: start)
        }
        #expect(summary(next(&machine, free: 8).batch) == ["1:0..<8"])
        #expect(summary(next(&machine, free: 1).batch) == ["200:0..<1"])
    }

    /// However many pieces wait, and in whatever order: a patch finds a worker that no piece has.
    @Test(arguments: [1, 2, 3, 8])
    func piecesLeaveAWorkerToPatches(workers: Int) throws {
        var machine = machine(queue: 1000, workers: workers)
        admit((0..<20).map { TestJob($0, of: UInt64($0), key: "8", patches: 8) }, to: &machine)
        var running: [TestBatch] = []
        while let batch = next(&machine) { running.append(batch) }
        #expect(running.count == max(1, workers - 1))
        #expect(machine.idleWorkerCount == 1 && machine.wantedWorkerCount == 0)
        admit([TestJob(100, of: 100)], to: &machine)
        #expect(machine.wantedWorkerCount == 1)
        let patch = try #require(next(&machine))
        #expect(summary(patch) == ["100:0..<1"])
        // Nor does a piece take that one's place.
        _ = machine.finish(patch, at: start)
        #expect(next(&machine) == nil)
        // The next piece begins where one has ended.
        _ = machine.finish(running[0], at: start)
        #expect(machine.wantedWorkerCount == 1)
        #expect(try #require(next(&machine)).key == "8")
    }

    /// While pieces fill the queue there is room for patches, and the other way round.
    @Test func piecesAndPatchesAreRefusedApart() {
        var machine = machine(queue: 10)
        admit([TestJob(1, key: "8", patches: 10), TestJob(2, patches: 10)], to: &machine)
        #expect(machine.queuedPatchCount == 20)
        func isRefused(_ patchCount: Int, inPieces: Bool = false) -> Bool {
            machine.refusal(of: patchCount, inPieces: inPieces, for: ConnectionID(1), at: start) != nil
        }
        #expect(isRefused(1) && isRefused(1, inPieces: true))
        _ = next(&machine)
        #expect(isRefused(1) && !isRefused(8, inPieces: true))
        _ = next(&machine)
        #expect(!isRefused(8))
    }

    @Test func aPieceWhoseClientLeavesMakesWay() throws {
        var machine = machine()
        admit([TestJob(1, of: 1, key: "8", patches: 8), TestJob(2, of: 2, key: "3")], to: &machine)
        #expect(next(&machine, free: 7).batch == nil)
        _ = machine.cancel(ConnectionID(1))
        #expect(summary(next(&machine, free: 7).batch) == ["2:0..<1"])
        #expect(machine.queuedPatchCount == 0)
    }
}
