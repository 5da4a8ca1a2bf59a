import TestSupport
import Testing

@testable import Batching

/// The earliest deadline of the jobs that are there, against the minimum of a list.
@Suite struct DeadlinesTests {
    /// Jobs come and leave in any order, few or many of them before their time; equal deadlines among them.
    @Test(arguments: [0.1, 0.5, 0.95])
    func theFirstIsTheEarliestOfThoseThatAreThere(shareThatLeaves: Double) {
        var random = SeededGenerator(seed: 11)
        var deadlines = Deadlines<Int>()
        var present: [UInt64: Int] = [:]
        for job in 0..<5000 as Range<UInt64> {
            let deadline = Int.random(in: 0..<1_000_000, using: &random) / 100
            deadlines.add(deadline, of: job)
            present[job] = deadline
            if Double.random(in: 0..<1, using: &random) < shareThatLeaves,
                let leaving = present.keys.sorted().randomElement(using: &random)
            {
                present[leaving] = nil
            }
            deadlines.forget(keeping: present.count) { present[$0] == nil }
            #expect(deadlines.first?.deadline == present.values.min(), "job \(job)")
            #expect(deadlines.count <= 2 * present.count + 64, "job \(job)")
        }
        var previous = Int.min
        while let first = deadlines.first {
            #expect(first.deadline >= previous)
            previous = first.deadline
            if let deadline = present.removeValue(forKey: first.job) { #expect(deadline == first.deadline) }
            deadlines.removeFirst()
        }
        #expect(present.isEmpty, "every job came to the top")
    }
}
