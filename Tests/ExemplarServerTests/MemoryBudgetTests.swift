import Batching
import ExemplarNetwork
import Glibc
import JSONRPC
import Platform
import TestSupport
import Testing

@testable import ExemplarServer

/// The budget by itself: what is taken is counted at once, never beyond the limit, and given back.
@Suite struct MemoryBudgetTests {
    private let limit = 1 << 20

    private func takeModel(_ budget: MemoryBudget, _ byteCount: Int) throws(ModelError) -> MemoryBudget.Lease {
        try budget.takeModel(byteCount, for: "Weights", advice: "load less")
    }

    @Test func everyPartCountsAgainstAModel() throws {
        let budget = MemoryBudget(chosen: limit)
        let first = try takeModel(budget, limit / 2)
        budget.serve(limit / 2)
        let pass = try #require(budget.takePass(limit / 8))
        let request = try #require(budget.take(limit / 16))
        budget.addLines(100)
        budget.addWaiting(10)
        let rest = limit / 2 - limit / 8 - limit / 16 - 110
        let refusal = #expect(throws: ModelError.self) { try takeModel(budget, rest + 1) }
        #expect(refusal?.description.contains("--memory-limit") == true, "\(String(describing: refusal))")
        #expect(refusal?.description.contains("taken already") == true, "\(String(describing: refusal))")
        do {
            let second = try takeModel(budget, rest)
            #expect(budget.holdings.total == limit)
            // The whole is full, whatever the parts say.
            #expect(budget.take(1) == nil && budget.takePass(1) == nil)
            #expect(budget.roomForLines() == .free)
            #expect(budget.roomForLines(growth: 1) == .later, "none for more until one of the models goes")
            budget.addLines(1)
            #expect(budget.roomForLines() == .later, "one byte beyond the whole")
            budget.addLines(limit / 8)
            #expect(budget.roomForLines() == .none, "beyond their part")
            budget.addLines(-1 - limit / 8)
            withExtendedLifetime(second) {}
        }
        budget.addLines(-100)
        budget.addWaiting(-10)
        withExtendedLifetime((first, pass, request)) {}
        #expect(budget.holdings.total == limit / 2 + limit / 8 + limit / 16)
    }

    @Test func whatMakesWayCountsUntilItIsFreed() throws {
        let budget = MemoryBudget(chosen: limit)
        let half = limit / 2
        let old = try #require(budget.takePass(half))
        #expect(budget.takePass(1) == nil)
        do {
            let new = try #require(budget.takePass(100, inPlaceOf: [old]))
            #expect(budget.holdings.passes == half, "the old one is still to be freed")
            #expect(budget.takePass(1) == nil)
            budget.shrink(new, to: 100)
            #expect(budget.holdings.passes == 100)
            #expect(budget.takePass(half - 100) != nil)
        }
        #expect(budget.holdings.passes == 0)
        withExtendedLifetime(old) {}
        #expect(budget.takePass(half + 1) == nil)
    }

    /// Threads that take and give back whatever they get: the whole is never beyond the limit.
    @Test func nobodyGoesBeyondTheLimitTogether() throws {
        let budget = MemoryBudget(chosen: limit)
        let failures = Monitor<[MemoryHoldings]>([])
        let limit = limit
        let threads = (0..<4).map { index in
            JoinableThread {
                var random = SeededGenerator(seed: UInt64(index))
                var leases: [MemoryBudget.Lease] = []
                var passes: [MemoryBudget.Lease] = []
                for _ in 0..<5000 {
                    let size = Int.random(in: 1...limit / 3, using: &random)
                    let lease =
                        switch Int.random(in: 0..<4, using: &random) {
                        case 0: try? budget.takeModel(size, for: "Weights", advice: "load less")
                        case 1: budget.take(size / 4)
                        default: nil as MemoryBudget.Lease?
                        }
                    if let lease {
                        leases.append(lease)
                    } else if let pass = budget.takePass(size, inPlaceOf: passes) {
                        // Those that made way have nothing any more.
                        passes = [pass]
                        if Bool.random(using: &random) { budget.shrink(pass, to: size) }
                    }
                    let holdings = budget.holdings
                    if holdings.total > limit { failures.withLock { $0.append(holdings) } }
                    if leases.count > 3 { leases.removeAll() }
                    if Int.random(in: 0..<8, using: &random) == 0 { passes.removeAll() }
                }
            }
        }
        for thread in threads { try #require(thread).join() }
        #expect(failures.withLock { $0 } == [])
        var left = budget.holdings
        left.limit = 0
        #expect(left == MemoryHoldings(limit: 0), "all is given back")
    }
}
