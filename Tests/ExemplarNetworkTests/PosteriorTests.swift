import Glibc
import TestSupport
import Testing

@testable import ExemplarNetwork

@Suite struct PosteriorTests {
    private func posterior(_ logits: [Float], _ count: Int = .max) -> Posterior {
        logits.withUnsafeBufferPointer { Posterior(logits: $0, count: count) }
    }

    @Test func probabilitiesAreTheSoftmax() {
        let entries = posterior([1, 3, 2, 0]).entries
        #expect(entries.map(\.index) == [1, 2, 0, 3])
        let sum = exp(1.0) + exp(3) + exp(2) + exp(0)
        for (entry, logit) in zip(entries, [3.0, 2, 1, 0]) {
            #expect(abs(entry.probability - exp(logit) / sum) < 1e-15)
            #expect(abs(entry.logProbability - (logit - log(sum))) < 1e-14)
        }
    }

    @Test func theBestAreThoseOfASort() {
        var random = SeededGenerator(seed: 51)
        // Few distinct values, so that ties abound.
        let logits = (0..<2000).map { _ in Float(Int.random(in: -40...40, using: &random)) / 4 }
        let sorted = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }
        for count in [0, 1, 2, 5, 100, 1999, 2000, 2001] {
            #expect(posterior(logits, count).entries.map(\.index) == Array(sorted.prefix(count)), "\(count)")
        }
        #expect(posterior(logits, -1).entries.isEmpty)
        let total = posterior(logits).entries.reduce(0) { $0 + $1.probability }
        #expect(abs(total - 1) < 1e-12)
    }

    @Test func aConstantAddedToAllLogitsChangesNothing() {
        // Exact in float32, and far beyond where exp overflows.
        let logits: [Float] = [0, 0.5, -1, 7]
        #expect(posterior(logits) == posterior(logits.map { $0 + 65536 }))
        #expect(posterior(logits) == posterior(logits.map { $0 - 65536 }))
    }

    @Test func equalLogitsAreUniformInTheOrderOfTheirIndices() {
        let entries = posterior([Float](repeating: -3, count: 1000), 3).entries
        #expect(entries.map(\.index) == [0, 1, 2])
        #expect(entries.allSatisfy { abs($0.logProbability + log(1000)) < 1e-12 })
    }

    @Test func infinitiesAndNaNGiveADistribution() {
        let some = posterior([.nan, 1, -.infinity, 1]).entries
        #expect(some.map(\.index) == [1, 3, 0, 2])
        #expect(some.map(\.probability) == [0.5, 0.5, 0, 0])
        #expect(some[3].logProbability == -.infinity)
        let certain = posterior([5, .infinity, .nan, .infinity]).entries
        #expect(certain.map(\.probability) == [0.5, 0.5, 0, 0])
        #expect(certain.map(\.index) == [1, 3, 0, 2])
        #expect(posterior([.nan, -.infinity], 1).entries.map(\.probability) == [0.5])
        #expect(posterior([], 5).entries.isEmpty)
    }
}
