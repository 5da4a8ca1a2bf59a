import Batching

/// A suite that asks a machine at a time that stands still.
protocol MachineTests {}

extension MachineTests {
    var start: ManualInstant { ManualInstant(nanoseconds: 0) }

    func machine(maxBatch: Int = 8, queue: Int = 64, workers: Int = 1) -> Machine {
        Machine(limits: BatchingLimits(maxBatch: maxBatch, queue: queue, workers: workers))
    }

    func admit(_ jobs: [TestJob], to machine: inout Machine) {
        for job in jobs { _ = machine.admit(job, deadline: nil, at: start) }
    }

    /// The next batch; pieces have whatever they need.
    func next(_ machine: inout Machine) -> TestBatch? {
        guard case .run(let batch, _) = machine.next(at: start, reserve: { _, _ in true }) else { return nil }
        return batch
    }

    /// Job names with their patches.
    func summary(_ batch: TestBatch?) -> [String] {
        batch.map { $0.slices.map { "\($0.job.name):\($0.patches.lowerBound)..<\($0.patches.upperBound)" } } ?? []
    }
}
