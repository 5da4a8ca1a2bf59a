import Batching
import Testing

/// A batcher that takes no more work, and ends once what it has taken has left.
@Suite struct DrainingTests: MachineTests {
    @Test func drainingFinishesWhatWasAdmitted() throws {
        var machine = machine()
        admit([TestJob(1)], to: &machine)
        machine.drain()
        #expect(machine.admit(TestJob(2), deadline: nil, at: start) == .draining)
        #expect(!machine.isDrained)
        let batch = try #require(next(&machine))
        #expect(!machine.isDrained)
        #expect(machine.finish(batch, at: start).completed.map(\.name) == [1])
        #expect(machine.isDrained)
    }

    /// What was accepted before draining and has only now become ready, as a decoded image, is admitted all the same;
    /// the queue is no larger for it.
    @Test func drainingAdmitsWhatWasAcceptedBefore() throws {
        var machine = machine(queue: 4)
        machine.drain()
        #expect(machine.isDrained)
        #expect(
            machine.admit(TestJob(1, patches: 3), deadline: nil, at: start, isAccepted: true) == .admitted)
        #expect(!machine.isDrained)
        #expect(machine.admit(TestJob(2), deadline: nil, at: start) == .draining)
        #expect(machine.admit(TestJob(3), deadline: start, at: start, isAccepted: true) == .expired)
        guard case .refused = machine.admit(TestJob(4, patches: 2), deadline: nil, at: start, isAccepted: true) else {
            Issue.record("the queue has no room for it")
            return
        }
        let batch = try #require(next(&machine))
        #expect(machine.finish(batch, at: start).completed.map(\.name) == [1])
        #expect(machine.isDrained)
    }

    /// What runs for a client that is gone keeps nobody waiting.
    @Test func whatIsComputedForNobodyIsDrained() throws {
        var machine = machine()
        admit([TestJob(1, key: "8", patches: 8)], to: &machine)
        let piece = try #require(next(&machine))
        machine.drain()
        #expect(!machine.isDrained)
        _ = machine.cancel(ConnectionID(1))
        #expect(machine.isDrained)
        #expect(machine.finish(piece, at: start).completed == [])
    }
}
