import Tensors
import TestSupport
import Testing

@Suite struct MemoryPlanTests {
    @Test func buffersAliveTogetherNeverOverlap() throws {
        var random = SeededGenerator(seed: 1406_6909)
        for _ in 0..<200 {
            let requests = (0..<Int.random(in: 1...20, using: &random)).map { _ in
                let first = Int.random(in: 0...9, using: &random)
                return MemoryPlan.Request(
                    count: Int.random(in: 0...1000, using: &random),
                    lifetime: Bool.random(using: &random)
                        ? MemoryPlan.always : first...Int.random(in: first...10, using: &random))
            }
            let plan = try #require(MemoryPlan(requests))
            for (i, left) in requests.enumerated() {
                #expect(plan.offsets[i] % 16 == 0)
                #expect(plan.offsets[i] + left.count <= plan.count)
                for (j, right) in requests.enumerated() where i < j && left.lifetime.overlaps(right.lifetime) {
                    let apart =
                        plan.offsets[i] + left.count + 16 <= plan.offsets[j]
                        || plan.offsets[j] + right.count + 16 <= plan.offsets[i]
                    #expect(apart, "buffers \(i) and \(j) of \(requests)")
                }
            }
        }
    }

    @Test func buffersThatNeverMeetShareMemory() throws {
        let plan = try #require(
            MemoryPlan([.init(count: 1000, lifetime: 0...1), .init(count: 1000, lifetime: 2...3)]))
        #expect(plan.offsets == [0, 0])
    }

    @Test func sizesThatOverflowAreRefused() {
        #expect(MemoryPlan([.init(count: Int.max, lifetime: 0...1)]) == nil)
        #expect(MemoryPlan([.init(count: -1, lifetime: 0...1)]) == nil)
        let half = Int.max / 2 + 1
        #expect(MemoryPlan([.init(count: half, lifetime: 0...1), .init(count: half, lifetime: 0...1)]) == nil)
    }
}
