import Glibc
import TestSupport
import Testing

@testable import exemplar

@Suite struct FittedPosteriorTests {
    /// Normal draws around a centre of each exemplar, on a line.
    private func draws(_ count: Int, apart distance: Double, seed: UInt64) -> RepresentationDraws {
        var random = SeededGenerator(seed: seed)
        return RepresentationDraws(
            (0..<4).map { exemplar in
                (0..<count).map { _ in
                    (0..<3).map { dimension in
                        Float(random.normal() + (dimension == 0 ? distance * Double(exemplar) : 0))
                    }
                }
            })
    }

    private func bounds(apart distance: Double) throws -> [MeanInterval] {
        let (fit, judge) = (draws(16, apart: distance, seed: 1), draws(40, apart: distance, seed: 3))
        return try [FittedPosterior(meansOf: fit), FittedPosterior(draws: fit)].map { posterior in
            var posterior = posterior
            try posterior.chooseWidth(on: draws(20, apart: distance, seed: 2), threads: 2)
            return try posterior.bound(on: judge, threads: 2)
        }
    }

    @Test func whatIsFarApartIsToldApart() throws {
        for bound in try bounds(apart: 40) {
            #expect(bound.mean <= log(4))
            #expect(bound.mean > log(4) - 1e-3)
        }
    }

    @Test func whatIsTheSameIsNot() throws {
        // A width was chosen on other draws, so that overfitting costs little; above 0 only by chance.
        for bound in try bounds(apart: 0) { #expect(abs(bound.mean) < 0.1) }
    }

    @Test func equalDrawsGiveExactlyNothing() throws {
        let equal = RepresentationDraws(Array(repeating: Array(repeating: [1, 2], count: 3), count: 5))
        var posterior = FittedPosterior(draws: equal)
        try posterior.chooseWidth(on: equal, threads: 1)
        #expect(abs(try posterior.bound(on: equal, threads: 1).mean) < 1e-12)
    }

    @Test func theSoftmaxOfTwoDistances() throws {
        let centers = RepresentationDraws([[[0, 0]], [[3, 4]]])
        // With a width of 1 and a draw at the first centre: ln 1/(1 + e⁻²⁵), and at the second alike.
        let bound = try FittedPosterior(draws: centers).bound(on: centers, threads: 1)
        #expect(abs(bound.mean - (log(2) - log1p(exp(-25)))) < 1e-15)
        #expect(FittedPosterior(draws: centers).logDensities(of: [3, 0]) == [-9, -16])
    }
}

@Suite struct WhiteningTests {
    /// Draws whose spread has another size and direction in every dimension, around centres of their own.
    private func draws() -> RepresentationDraws {
        var random = SeededGenerator(seed: 4)
        return RepresentationDraws(
            (0..<30).map { exemplar in
                (0..<5).map { _ in
                    let noise = (0..<3).map { _ in Double.random(in: -1...1, using: &random) }
                    return [
                        Float(noise[0] + 10 * Double(exemplar)), Float(5 * noise[1] + noise[0]),
                        Float(0.1 * noise[2] - 3 * noise[0] - Double(exemplar)),
                    ]
                }
            })
    }

    @Test func withoutShrinkageTheSpreadIsASphere() throws {
        let draws = draws()
        let covariance = try Whitening.covariance(within: draws, threads: 2)
        #expect(covariance.map(\.count) == [3, 2, 1])
        let whitening = try #require(Whitening(covariance, shrinkage: 0))
        let whitened = try Whitening.covariance(within: whitening.applied(to: draws, threads: 2), threads: 1)
        for column in whitened {
            // Values up to 300 rounded to float32, divided by a spread of 0.06.
            #expect(abs(column[0] - 1) < 1e-3)
            #expect(column.dropFirst().allSatisfy { abs($0) < 1e-3 })
        }
    }

    @Test func withFullShrinkageItOnlyScales() throws {
        let draws = draws()
        let covariance = try Whitening.covariance(within: draws, threads: 1)
        let whitening = try #require(Whitening(covariance, shrinkage: 1))
        let scale = (covariance.map { $0[0] }.reduce(0, +) / 3).squareRoot()
        let scaled = try whitening.applied(to: draws, threads: 1)
        for (value, original) in zip(scaled.values, draws.values) {
            #expect(abs(Double(value) - Double(original) / scale) < 1e-5 * (1 + abs(Double(original))))
        }
    }

    @Test func drawsThatDoNotDifferCannotBeWhitened() throws {
        let equal = RepresentationDraws([[[1, 2], [1, 2]], [[3, 4], [3, 4]]])
        #expect(Whitening(try Whitening.covariance(within: equal, threads: 1), shrinkage: 0.5) == nil)
    }
}
