import Testing

@testable import Batching

/// Who floods the queue, and who comes with little.
@Suite struct QueueFairnessTests: MachineTests {
    /// A client that sends a patch again whenever it is refused, and one that does so when it was told to.
    @Test func aFloodLeavesRoomForWhoComesBack() throws {
        var machine = machine(maxBatch: 4, queue: 16)
        var now = start
        var name = 0
        func flood() -> Int {
            var admitted = 0
            while true {
                name += 1
                guard machine.admit(TestJob(name, of: 1), deadline: nil, at: now) == .admitted else { return admitted }
                admitted += 1
            }
        }
        func compute() throws {
            let batch = try #require(next(&machine))
            now = now.advanced(by: .milliseconds(8))
            _ = machine.finish(batch, at: now)
        }
        // Alone, it has the whole queue; and so for as long as nobody else comes.
        #expect(flood() == 16)
        try compute()
        #expect(flood() == 4)
        // Ten times the other comes back as late as it was told, and is let in each time.
        for _ in 0..<10 {
            name += 1
            guard case .refused(let retryAfter) = machine.admit(TestJob(name, of: 2), deadline: nil, at: now) else {
                // There was room already.
                continue
            }
            let end = now.advanced(by: retryAfter)
            while now < end {
                try compute()
                _ = flood()
            }
            name += 1
            #expect(machine.admit(TestJob(name, of: 2), deadline: nil, at: now) == .admitted)
        }
    }

    /// Work that may turn out to be of either kind is let in where one of them has room, and nobody is remembered as
    /// turned away for the other; where neither has, both are.
    @Test(arguments: [(asked: 1, isLetIn: true), (5, false)]) func whoIsLetInAsEitherIsNotTurnedAway(
        asked: Int, isLetIn: Bool
    ) throws {
        var machine = machine(queue: 4)
        admit([TestJob(1, of: 1, patches: 4)], to: &machine)
        let refusal = machine.refusal(of: asked, inPieces: nil, for: ConnectionID(2), at: start)
        #expect((refusal == nil) == isLetIn)
        _ = machine.finish(try #require(next(&machine)), at: start)
        // Of either kind the first has half of the queue now, which is all unless somebody is to come back.
        for (name, key) in [(2, ""), (4, "8")] as [(Int, TestKey)] {
            admit([TestJob(name, of: 1, key: key, patches: 2)], to: &machine)
            let admission = machine.admit(TestJob(name + 1, of: 1, key: key), deadline: nil, at: start)
            #expect((admission == .admitted) == isLetIn, "\(key): \(admission)")
        }
    }

    /// Of two that want everything the first may take half of what the other leaves, and that one the same of the rest:
    /// a quarter stays free for whoever comes. One of them has it all again once the other has not come back.
    @Test func whoDoesNotComeBackIsForgotten() throws {
        var machine = machine(maxBatch: 4, queue: 12)
        var name = 0
        func fill(_ connection: UInt64, at now: ManualInstant) {
            name += 1
            while machine.admit(TestJob(name, of: connection), deadline: nil, at: now) == .admitted { name += 1 }
        }
        fill(1, at: start)
        fill(2, at: start)
        for _ in 0..<10 {
            let batch = try #require(next(&machine))
            _ = machine.finish(batch, at: start)
            for connection in 1...2 { fill(UInt64(connection), at: start) }
        }
        #expect(machine.queuedPatchCount == 9)
        fill(1, at: start.advanced(by: .seconds(3600)))
        #expect(machine.queuedPatchCount == 12)
    }
}
