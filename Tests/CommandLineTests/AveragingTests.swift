import ExemplarNetwork
import Glibc
import Testing
import Transformations

@testable import exemplar

/// ĝ_K(x) = (1/K) Σ_k g(T_αk x), on the library.
@Suite struct AveragingTests {
    private func rows(_ study: Study, _ transformations: [Transformation]) throws -> [[Float]] {
        let embedder = try study.model.makeEmbedder(maximumBatch: 16)
        var rows: [[Float]] = []
        embedder.forEachRow(
            of: study.exemplars.contexts[0], transformations, border: .reflect, study.model.embeddingOnly
        ) { rows.append(Array($1)) }
        return rows
    }

    private func moments(_ rows: some Collection<[Float]>) -> RunningMoments {
        let moments = RunningMoments(dimension: rows.first?.count ?? 0)
        for row in rows { row.withUnsafeBufferPointer { moments.add($0) } }
        return moments
    }

    @Test func withoutStepsTheMeanIsTheSampleToTheBit() throws {
        let study = try StudyFixture().study()
        let rows = try rows(study, [.identity] + study.draws(21, of: .fit, exemplar: 0, steps: []))
        let mean = moments(rows.dropFirst())
        #expect(mean.count == 21)
        #expect((0..<mean.dimension).map { mean.mean($0).bitPattern } == rows[0].map(\.bitPattern))
        #expect(mean.expectedDistance == 0)
    }

    /// E‖ĝ_K − ĝ_L‖² = tr Σ (1/K + 1/L) for means over draws of their own.
    @Test func theSquaredErrorOfAMeanFallsAsOneOverItsDraws() throws {
        let study = try StudyFixture().study()
        let many = 4096
        let limit = moments(try rows(study, study.draws(many, of: .evaluation, exemplar: 0)))
        let trace = pow(try #require(limit.expectedDistance), 2) * Double(many)
        #expect(trace > 0.01, "the draws must differ for this to say anything")
        let draws = try rows(study, study.draws(2048, of: .fit, exemplar: 0))
        for count in [1, 2, 4, 8, 16, 32] {
            let errors = stride(from: 0, to: draws.count, by: count).map { start in
                let mean = moments(draws[start..<start + count])
                return (0..<mean.dimension).reduce(0.0) {
                    $0 + pow(Double(mean.mean($1)) - Double(limit.mean($1)), 2)
                }
            }
            let error = MeanInterval(errors)
            let expected = trace * (1 / Double(count) + 1 / Double(many))
            // Two half widths are about four standard errors of the mean over at least 64 groups.
            #expect(abs(error.mean - expected) < 2 * error.halfWidth, "K = \(count)")
            #expect(error.halfWidth < 0.4 * expected, "the band must be narrower than a factor of two in K")
        }
    }

    @Test func streamsAndExemplarsHaveDrawsOfTheirOwn() throws {
        let study = try StudyFixture().study()
        let streams: [Study.Stream] = [.evaluation, .fit, .calibration]
        let draws = streams.flatMap { stream in (0..<3).map { study.draws(2, of: stream, exemplar: $0) } }.joined()
        #expect(Set(draws.map(\.translationX)).count == 18)
    }

    @Test func intervalsOverExemplars() {
        let interval = MeanInterval([1, 2, 4, 7, 6])
        #expect(interval.mean == 4)
        // s² = 6.5, the standard error √1.3, Student's t with 4 degrees of freedom 2.776, expanded to within 2 %.
        #expect(abs(interval.halfWidth / (2.776 * 1.3.squareRoot()) - 1) < 0.02)
        #expect(abs(MeanInterval.quantile(9) - 2.262) < 0.005)
        #expect(abs(MeanInterval([1, 3]).halfWidth - 12.706) < 0.001 && abs(MeanInterval.quantile(3) - 3.182) < 0.001)
        #expect(abs(MeanInterval.quantile(511) - 1.9646) < 1e-4)
        #expect(MeanInterval([0.1, 0.1, 0.1]) == MeanInterval([0.1, 0.1]))
        #expect(MeanInterval([5]).halfWidth == .infinity)
    }
}
