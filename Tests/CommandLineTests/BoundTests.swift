import ExemplarNetwork
import Glibc
import TestSupport
import Testing
import Transformations

@testable import exemplar

/// The identities of the bound, ln N + E ln q (Barber and Agakov 2003).
@Suite struct BoundTests {
    private func estimates(_ measurement: BoundMeasurement) -> [BoundMeasurement.Estimate] {
        [measurement.sample, measurement.restricted] + measurement.averages.map(\.estimate)
            + measurement.steps.map(\.estimate)
    }

    @Test func noBoundExceedsTheLogarithmOfTheClasses() throws {
        let measurement = try StudyFixture().study().bound(draws: 16)
        #expect(measurement.sample.ceiling == log(20))
        #expect(measurement.restricted.ceiling == log(8))
        for estimate in estimates(measurement) {
            #expect(estimate.bound.mean <= estimate.ceiling)
            #expect((0...1).contains(estimate.top1.mean))
        }
        #expect(measurement.averages.map(\.draws) == [1, 2, 4, 8, 16])
        #expect(measurement.steps.map(\.name) == ["none"] + TransformationSteps.named.map(\.name))
    }

    @Test func aHeadOfZerosKnowsExactlyNothing() throws {
        let measurement = try StudyFixture(isBlank: true).study().bound(draws: 12)
        for estimate in estimates(measurement) {
            #expect(estimate.bound == MeanInterval([0, 0]))
            #expect(estimate.top1.mean == 0)
        }
    }

    @Test func theUntransformedBoundIsTheOracles() throws {
        let fixture = try StudyFixture()
        let logProbabilities = zip(fixture.patches, fixture.rows).map { patch, row in
            let logits = fixture.oracle.outputs(for: patch.pixels.map(Double.init))["head"]?.values ?? []
            return logits[row] - log(logits.map { exp($0) }.reduce(0, +))
        }
        let expected = log(20) + logProbabilities.reduce(0, +) / Double(logProbabilities.count)
        let none = try #require(try fixture.study().bound(draws: 2).steps.first)
        // Logits near 1, each with a few roundings of float32.
        #expect(abs(none.estimate.bound.mean - expected) < 1e-5)
    }

    @Test func aStepIsDrawnAlone() throws {
        let study = try StudyFixture().study()
        let (head, rows) = (try study.linearHead(), try study.headRows())
        let measured = try study.bound(draws: 20).steps.dropFirst()
        #expect(measured.count == 6)
        for (step, named) in zip(measured, TransformationSteps.named) {
            let logProbabilities = try study.map(unit: "exemplars") { index, embedder in
                let draws = study.draws(16, of: .evaluation, exemplar: index).map { $0.restricted(to: named.steps) }
                return mean(
                    study.logits(of: index, draws, head, embedder).map { $0.logProbability(of: rows[index]) })
            }
            #expect(step.estimate.bound == MeanInterval(logProbabilities).adding(log(20)), "\(named.name)")
        }
    }

    @Test func averagingBeforeALinearHeadNeverLowersTheBound() throws {
        let measurement = try StudyFixture().study().bound(draws: 64)
        // ĝ_2K is the mean of two ĝ_K, so Jensen's inequality holds draw by draw; the rest is rounding in double.
        for (fewer, more) in zip(measurement.averages, measurement.averages.dropFirst()) {
            #expect(more.estimate.bound.mean >= fewer.estimate.bound.mean - 1e-12, "\(more.draws)")
        }
        let gain = measurement.averages[6].estimate.bound.mean - measurement.averages[0].estimate.bound.mean
        #expect(gain > 1e-4, "the draws must differ for this to say anything")
    }

    @Test func theResultDoesNotDependOnTheThreads() throws {
        let fixture = try StudyFixture()
        let (one, three) = (try fixture.study(threads: 1), try fixture.study(threads: 3))
        func bounds(_ study: Study) throws -> [MeanInterval] {
            let fitted = try study.layerBounds()
            return estimates(try study.bound(draws: 8)).map(\.bound) + fitted.layers.flatMap { [$0.means, $0.kernel] }
                + [fitted.combined.bound, fitted.combined.gain]
        }
        let expected = try bounds(one)
        #expect(try bounds(three) == expected)
        #expect(try bounds(fixture.study(seed: 8)) != expected)
    }

    @Test func theHeadAloneIsAmongThePosteriorsCombined() throws {
        let logits = [0.3, -1, 2]
        #expect(CombinedPosterior.head.logits(logits, [5, 6, -7]).values == logits)
        #expect(CombinedPosterior.grid.contains { $0.head == 1 && $0.kernel == 0 })
        // A blank head knows nothing, so that what is gained is what the kernel knows.
        let study = try StudyFixture(isBlank: true).study()
        let combined = try study.layerBounds().combined
        #expect(abs(combined.bound.mean - combined.gain.mean) < 1e-12)
        #expect(combined.bound.mean <= log(8))
        #expect(combined.posterior.kernel > 0)
    }

    /// A q that is judged on draws around which its Gaussians stand finds each at its own centre.
    @Test func theFittedAreJudgedOnDrawsOfTheHead() throws {
        let study = try StudyFixture().study()
        let (judged, met) = (try study.layerBounds(), try study.layerBounds(judgedOn: .fit))
        #expect(judged.layers.map(\.name) == ["conv1", "fc"])
        for (judged, met) in zip(judged.layers, met.layers) { #expect(judged.kernel.mean < met.kernel.mean) }
        let head = try study.bound(draws: LayerBounds.judging).restricted.bound
        // A difference of means instead of the mean itself, in double.
        #expect(abs(judged.combined.bound.mean - judged.combined.gain.mean - head.mean) < 1e-12)
    }

    @Test func theFirstExemplars() throws {
        let fixture = try StudyFixture()
        let exemplars = try fixture.study(count: 3).exemplars
        #expect(exemplars.rows == [3, 0, 17])
        #expect(exemplars.contexts.map(\.pixels) == Array(fixture.contexts.prefix(3)))
    }

    @Test func aConstantAddedToAllLogitsChangesNothing() {
        // Exact in double, and far beyond where exp overflows.
        let logits = [0, 0.5, -1, 7.25, 7]
        for constant in [1024.0, -1_048_576] {
            let moved = Logits(logits.map { $0 + constant })
            for row in logits.indices {
                #expect(moved.logProbability(of: row) == Logits(logits).logProbability(of: row))
                #expect(moved.isTop(row) == Logits(logits).isTop(row))
            }
        }
        #expect(logits.indices.map { Logits(logits).isTop($0) } == [false, false, false, true, false])
        #expect(!Logits([2, 2]).isTop(0), "a tie is not told apart")
    }

    @Test func equalDrawsHaveThemselvesAsMean() {
        let draw = Logits([0.1, -1.0 / 3, 1e-30])
        for count in [2, 3, 7] {
            let means = Array(repeating: draw, count: 7).means(of: count)
            #expect(means.count == 7 / count)
            #expect(means.allSatisfy { $0.values == draw.values })
        }
    }

    @Test func meansAreThoseOfDisjointGroups() {
        let draws = [[1.0, 0], [3, 8], [5, -2], [11, 2], [100, 100]].map { Logits($0) }
        #expect(draws.means(of: 1).map(\.values) == draws.map(\.values))
        #expect(draws.means(of: 2).map(\.values) == [[2, 4], [8, 0]])
        #expect(draws.means(of: 4).map(\.values) == [[5, 2]])
        #expect(draws.means(of: 6).isEmpty)
    }

    /// However many the draws are, few of their logits are held at a time, and every score is that of all together.
    @Test func drawsAreScoredInGroups() {
        var random = SeededGenerator(seed: 8)
        let all = (0..<150).map { _ in Logits((0..<6).map { _ in Double.random(in: -3...3, using: &random) }) }
        let averaged = [1, 2, 64]
        let rows = [4, 1, 5]
        var groups: [Range<Int>] = []
        let scores = DrawScores(all.count, averaged: averaged, exemplar: 2, rows: rows) {
            groups.append($0)
            return Array(all[$0])
        }
        #expect(groups.allSatisfy { $0.count <= Study.mostAveraged })
        #expect(groups.joined().elementsEqual(all.indices))
        func expect(_ score: Score, _ logits: [Logits], row: Int) {
            #expect(score.logProbability.mean == mean(logits.map { $0.logProbability(of: row) }))
            #expect(score.top1.mean == mean(logits.map { $0.isTop(row) ? 1 : 0 }))
        }
        expect(scores.restricted, all.map { $0.restricted(to: rows) }, row: 2)
        for (score, count) in zip(scores.averages, averaged) { expect(score, all.means(of: count), row: 5) }
    }
}
