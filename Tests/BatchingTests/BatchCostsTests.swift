import Testing

@testable import Batching

/// What patches are known to cost.
@Suite struct BatchCostsTests {
    private typealias Costs = BatchCosts<TestKey>

    /// The first batch tells all that is known; every later one is an eighth of what is believed then.
    @Test func oneBatchIsAnEighth() throws {
        var costs = Costs()
        #expect(costs["a"] == nil && costs.usual(inPieces: false) == nil)
        costs.learn("a", patchCount: 4, took: .milliseconds(32))
        #expect(costs["a"] == 0.008)
        costs.learn("a", patchCount: 1, took: .milliseconds(16))
        #expect(abs(try #require(costs["a"]) - 0.009) < 1e-12)
        costs.learn("a", patchCount: 2, took: .milliseconds(2))
        #expect(abs(try #require(costs["a"]) - 0.008) < 1e-12)
    }

    /// What is usual is averaged over all keys, those that run in pieces by themselves: a new key is taken for one like
    /// these.
    @Test func whatIsUsual() throws {
        var costs = Costs()
        costs.learn("a", patchCount: 1, took: .milliseconds(8))
        costs.learn("b", patchCount: 1, took: .milliseconds(16))
        #expect(costs["b"] == 0.016)
        #expect(abs(try #require(costs.usual(inPieces: false)) - 0.009) < 1e-12)
        #expect(costs.usual(inPieces: true) == nil)
        costs.learn("3", patchCount: 1, took: .milliseconds(100))
        #expect(costs.usual(inPieces: true) == 0.1)
        #expect(abs(try #require(costs.usual(inPieces: false)) - 0.009) < 1e-12)
    }

    /// A batch of which nothing was computed tells nothing, and its time divided by nothing would last for ever.
    @Test func aBatchOfNothing() {
        var costs = Costs()
        costs.learn("a", patchCount: 0, took: .milliseconds(8))
        #expect(costs["a"] == nil && costs.usual(inPieces: false) == nil)
        costs.learn("a", patchCount: 1, took: .milliseconds(8))
        costs.learn("a", patchCount: 0, took: .milliseconds(8))
        #expect(costs["a"] == 0.008 && costs.usual(inPieces: false) == 0.008)
    }

    /// Clients choose keys: beyond 256 an old one goes for each that comes, and one that is known takes nobody's place.
    @Test func keysAreForgotten() {
        var costs = Costs()
        let names = (0..<1000).map { "key\($0)" }
        func known() -> [String] { names.filter { costs[TestKey(stringLiteral: $0)] != nil } }
        for (index, name) in names.enumerated() {
            costs.learn(TestKey(stringLiteral: name), patchCount: 1, took: .milliseconds(8))
            #expect(costs[TestKey(stringLiteral: name)] != nil)
            if index == 255 { #expect(known().count == 256) }
        }
        let kept = known()
        #expect(kept.count == 256)
        for name in kept { costs.learn(TestKey(stringLiteral: name), patchCount: 1, took: .milliseconds(16)) }
        #expect(known() == kept)
        for name in kept { #expect(abs((costs[TestKey(stringLiteral: name)] ?? 0) - 0.009) < 1e-12) }
    }
}
