import ExemplarNetwork
import Glibc
import JSONRPC
import TestSupport
import Testing
import Transformations

@testable import exemplar

@Suite struct InvarianceTests {
    @Test func strengthsRunFromTheIdentityToTheEndOfTheRange() {
        let ranges = StudyFixture.ranges
        let sampler = TransformationSampler(ranges: ranges)
        let steps = StepAtStrength.all(ranges)
        #expect(steps.map(\.name) == TransformationSteps.named.map(\.name))
        for index in 0..<8 {
            let draw = sampler.draw(seed: 3, index: UInt64(index))
            for (step, named) in zip(steps, TransformationSteps.named) {
                #expect(step.transformation(0, draw) == .identity, "\(step.name)")
                let end = step.transformation(1, draw)
                #expect(end != .identity)
                #expect(end.restricted(to: named.steps) == end, "\(step.name) changes its own step alone")
            }
            let moved = steps[0].transformation(0.5, draw)
            #expect(abs(hypot(moved.translationX, moved.translationY) - 0.1) < 1e-12)
            #expect([0.8, 1.25].contains(steps[1].transformation(1, draw).scale))
            #expect(abs(steps[2].transformation(1, draw).rotationDegrees) == 20)
            #expect(abs(abs(log2(steps[3].transformation(1, draw).contrast[2])) - 0.4) < 1e-12)
            #expect([-0.1, 0.1].contains(steps[5].transformation(1, draw).hue))
        }
    }

    /// Where one end is farther than the other, no number of octaves or turns is right for every patch.
    @Test(arguments: [
        (0.5...2.0, -0.1...0.1, ["octaves", "turns"], [1, 0.1]), (1...4, 0...0.2, ["octaves", "turns"], [2, 0.2]),
        (0.5...1, -0.3...0, ["octaves", "turns"], [1, 0.3]),
        (0.5...1.01, -0.1...0.2, ["of the range", "of the range"], [1, 1]),
    ])
    func strengthsOfUnevenRangesArePartsOfThem(
        scale: ClosedRange<Double>, hue: ClosedRange<Double>, units: [String], greatest: [Double]
    ) {
        var ranges = StudyFixture.ranges
        ranges.scale = scale
        ranges.hue = hue
        let steps = StepAtStrength.all(ranges).filter { ["scale", "hue"].contains($0.name) }
        #expect(steps.map(\.unit) == units)
        #expect(steps.map(\.greatest) == greatest)
        let sampler = TransformationSampler(ranges: ranges)
        for (step, strength) in zip(steps, greatest) where step.unit != "of the range" {
            for index in 0..<8 {
                let end = step.transformation(1, sampler.draw(seed: 4, index: UInt64(index)))
                #expect(max(abs(log2(end.scale)), abs(end.hue)) == strength, "\(step.name)")
            }
        }
    }

    @Test func directionsAreNoDrawsOfTheMeans() throws {
        let study = try StudyFixture().study()
        for patch in study.exemplars.contexts.indices {
            #expect(!study.averagingDraws.contains(study.direction(of: patch)))
        }
    }

    @Test func distanceBetweenDifferentVectors() {
        var random = SeededGenerator(seed: 2)
        let vectors = (0..<7).map { _ in (0..<5).map { _ in Float.random(in: -1...1, using: &random) } }
        var (sum, pairs) = (0.0, 0.0)
        for first in vectors.indices {
            for second in vectors.indices where first != second {
                sum += zip(vectors[first], vectors[second]).reduce(0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
                pairs += 1
            }
        }
        #expect(abs(rootMeanSquareDistance(vectors) - (sum / pairs).squareRoot()) < 1e-12)
        #expect(rootMeanSquareDistance([[1, 2], [1, 2]]) == 0)
    }

    /// The curve of g, from pixels that go through `exemplar embed`'s own way.
    @Test func theCurveOfTheEmbedding() throws {
        let fixture = try StudyFixture()
        let study = try fixture.study()
        let network = try LocalNetwork(folder: fixture.folder.path)
        func vectors(_ part: Double, step: Int) throws -> [[Float]] {
            let step = StepAtStrength.all(study.sampler.ranges)[step]
            return try study.exemplars.contexts.enumerated().flatMap { index, context in
                let view = step.transformation(part, study.direction(of: index))
                let pixels = study.model.transformedPixels(context, [view])
                return [try network.embed(pixels, layers: .embedding, normalized: false) { _ in }.values]
            }
        }
        let measurement = try study.invariance()
        for (place, step) in measurement.steps.enumerated() {
            let (still, moved) = (try vectors(0, step: place), try vectors(1, step: place))
            let distances = zip(still, moved).map { first, second in
                zip(first, second).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }.squareRoot()
            }
            let expected = distances.reduce(0, +) / 8 / rootMeanSquareDistance(still)
            #expect(abs((step.curves[0].distances.last?.mean ?? .nan) - expected) < 1e-9, "\(step.name)")
        }
    }

    /// ĝ_K of a patch and of what a step makes of it, over the same draws: those of a server for the same seed.
    @Test(arguments: [8, 32])
    func theCurveAndTheNoiseOfTheMean(_ count: Int) throws {
        let study = try StudyFixture().study()
        let model = study.model
        let step = 2
        let rotation = StepAtStrength.all(study.sampler.ranges)[step]
        let draws = (0..<UInt64(count)).map { study.sampler.draw(seed: 7, index: $0) }
        let means = try study.map(unit: "patches") { index, embedder in
            let views = [.identity, rotation.transformation(1, study.direction(of: index))]
            return model.transformedPixels(study.exemplars.contexts[index], views).map { pixels in
                let moments = RunningMoments(dimension: model.dimension(of: model.embeddingOnly))
                embedder.forEachRow(
                    of: Context(height: 12, width: 12, pixels: pixels), draws, border: .reflect, model.embeddingOnly
                ) { moments.add($1) }
                return ((0..<moments.dimension).map(moments.mean), moments.expectedDistance ?? .nan)
            }
        }
        let scale = rootMeanSquareDistance(means.map { $0[0].0 })
        let moved = means.map { views in
            zip(views[0].0, views[1].0).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }.squareRoot()
        }
        // The same vectors, summed in double in another order.
        let tolerance = 1e-9
        let measurement = try study.invariance()
        let name = "ĝ_\(count)"
        let curve = try #require(measurement.steps[step].curves.first { $0.name == name })
        #expect(abs((curve.distances.last?.mean ?? .nan) - mean(moved) / scale) < tolerance)
        let noise = try #require(measurement.noise.first { $0.name == name })
        #expect(abs(noise.distance.mean - 2.0.squareRoot() * mean(means.map { $0[0].1 }) / scale) < tolerance)
    }

    @Test func aMeasurementOfEveryStepAndRepresentation() throws {
        let fixture = try StudyFixture()
        let measurement = try fixture.study(threads: 1).invariance()
        let names = ["g", "ĝ_8", "ĝ_32", "conv1", "all layers"]
        #expect(measurement.steps.count == 6)
        for step in measurement.steps {
            #expect(step.curves.map(\.name) == names)
            for curve in step.curves {
                #expect(curve.distances.count == step.strengths.count)
                #expect(curve.distances.allSatisfy { $0.mean >= 0 && $0.mean.isFinite })
                #expect(curve.distances.contains { $0.mean > 0 }, "\(step.name), \(curve.name)")
            }
            let ends = step.curves.map { $0.distances.last?.mean ?? .nan }
            // A mean of differences instead of a difference of means, in double.
            #expect(abs(step.gain.mean - (ends[0] - ends[2])) < 1e-12, "\(step.name)")
        }
        // √(tr Σ / K): the draws of ĝ_8 are the first of those of ĝ_32, so half of it up to the estimate of Σ.
        let ratio = measurement.noise[1].distance.mean / measurement.noise[0].distance.mean
        #expect((0.35...0.65).contains(ratio), "\(ratio)")

        let again = try fixture.study(threads: 3).invariance()
        #expect(zip(measurement.steps, again.steps).allSatisfy { $0.gain == $1.gain })
        let report = InvarianceReport(model: "study", seed: 7, measurement: measurement)
        #expect(report.text.contains("ĝ_32"))
        #expect(report.plot.svg.hasSuffix("</svg>\n"))
    }
}
