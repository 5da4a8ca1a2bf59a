import ExemplarNetwork
import Glibc
import Transformations

/// How far a representation moves when a patch is transformed: ‖f(T_s x) − f(x)‖ over the root mean square distance
/// between f of different patches, against the strength s of one step of T.
struct InvarianceMeasurement: Sendable {
    struct Curve: Sendable {
        /// Of the representation.
        var name: String
        /// One for each strength.
        var distances: [MeanInterval]
    }

    struct Step: Sendable {
        var name: String
        /// What the strengths are measured in.
        var unit: String
        var strengths: [Double]
        var curves: [Curve]
        /// At the greatest strength, the distance of g less that of the mean of most draws, patch by patch: above 0
        /// where averaging makes the representation more invariant.
        var gain: MeanInterval
    }

    var patches: Int
    var steps: [Step]
    /// For each ĝ_K: √2 √(tr Σ / K) over the same distance, how far apart two estimates from other draws would lie.
    var noise: [(name: String, distance: MeanInterval)]
}

/// A single step of T at a given strength, in a direction that a draw chooses.
struct StepAtStrength: Sendable {
    var name: String
    var unit: String
    /// The strength at the end of the range.
    var greatest: Double
    /// T at a part 0 … 1 of the greatest strength, in the direction of `draw`.
    var transformation: @Sendable (_ part: Double, _ draw: Transformation) -> Transformation

    private init(
        name: String, unit: String, greatest: Double,
        transformation: @escaping @Sendable (_ part: Double, _ draw: Transformation) -> Transformation
    ) {
        self.name = name
        self.unit = unit
        self.greatest = greatest
        self.transformation = transformation
    }

    /// A step that goes to the end of its range on the draw's side of 0. Where the ends are not as far, the draws have
    /// no strength in common but the part of the range.
    private init(
        name: String, unit: String, from low: Double, to high: Double,
        transformation: @escaping @Sendable (_ part: Double, _ draw: Transformation) -> Transformation
    ) {
        let hasOneSide = low >= 0 || high <= 0
        let greatest = max(abs(low), abs(high))
        // Ends may be rounded in config.json.
        let isEven = hasOneSide || abs(low + high) < 1e-3 * greatest
        self.init(
            name: name, unit: isEven ? unit : "of the range", greatest: isEven ? greatest : 1,
            transformation: transformation)
    }

    /// The steps that `ranges` have, each to the end of its range; contrast, whose factors have no end, to 2 σ.
    static func all(_ ranges: TransformationRanges) -> [StepAtStrength] {
        var steps = [
            StepAtStrength(name: "translation", unit: "of the side", greatest: ranges.translation) { part, draw in
                let length = (draw.translationX * draw.translationX + draw.translationY * draw.translationY)
                    .squareRoot()
                let (x, y) = length > 0 ? (draw.translationX / length, draw.translationY / length) : (1, 0)
                return Transformation(
                    translationX: part * ranges.translation * x, translationY: part * ranges.translation * y)
            },
            StepAtStrength(
                name: "scale", unit: "octaves", from: log2(ranges.scale.lowerBound), to: log2(ranges.scale.upperBound)
            ) { part, draw in
                Transformation(scale: pow(draw.scale < 1 ? ranges.scale.lowerBound : ranges.scale.upperBound, part))
            },
            StepAtStrength(name: "rotation", unit: "degrees", greatest: ranges.rotationDegrees) { part, draw in
                Transformation(rotationDegrees: part * copysign(ranges.rotationDegrees, draw.rotationDegrees))
            },
        ]
        if let contrast = ranges.contrast {
            steps.append(
                StepAtStrength(name: "contrast", unit: "σ", greatest: 2) { part, draw in
                    Transformation(
                        contrast: zip(contrast.sigma, draw.contrast).map { exp2(2 * part * ($1 < 1 ? -$0 : $0)) })
                })
        }
        if let color = ranges.color {
            steps.append(
                StepAtStrength(name: "color", unit: "of the range", greatest: 1) { part, draw in
                    func end(_ range: ClosedRange<Double>, _ value: Double, _ middle: Double) -> Double {
                        value < middle ? range.lowerBound : range.upperBound
                    }
                    func pair(_ pair: SaturationValue, _ change: (Double) -> Double) -> SaturationValue {
                        SaturationValue(saturation: change(pair.saturation), value: change(pair.value))
                    }
                    return Transformation(
                        power: pair(draw.power) { pow(end(color.power, $0, 1), part) },
                        factor: pair(draw.factor) { pow(end(color.factor, $0, 1), part) },
                        offset: pair(draw.offset) { part * end(color.offset, $0, 0) })
                })
        }
        if let hue = ranges.hue {
            steps.append(
                StepAtStrength(name: "hue", unit: "turns", from: hue.lowerBound, to: hue.upperBound) {
                    Transformation(hue: $0 * ($1.hue < 0 ? hue.lowerBound : hue.upperBound))
                })
        }
        return steps
    }
}

extension Study {
    /// K of the ĝ_K that are measured.
    static let averagedDraws = [8, 32]
    /// The parts of each step's range.
    static let parts = [0.25, 0.5, 0.75, 1]

    /// Measures every patch; there must be 2 or more.
    ///
    /// T_s makes a patch of 8-bit pixels, as a client would send it; ĝ is then averaged around that patch as the server
    /// does it, with the same draws for every patch, but with the border of the model's configuration, where a server
    /// takes the request's.
    func invariance() throws(CommandError) -> InvarianceMeasurement {
        let count = exemplars.contexts.count
        guard count > 1 else {
            throw .failure("The distance between different patches needs two of them: give more with --exemplars.")
        }
        let steps = StepAtStrength.all(sampler.ranges)
        let draws = averagingDraws
        let features = PooledFeatures(model)
        let names = representationNames(features)
        let patches = try map(unit: "patches") { [self] index, embedder in
            let direction = direction(of: index)
            let transformed = steps.flatMap { step in Self.parts.map { step.transformation($0, direction) } }
            let pixels = model.transformedPixels(exemplars.contexts[index], [.identity] + transformed)
            return pixels.map { representations(of: $0, draws, features, embedder) }
        }
        let scales = names.indices.map { representation in
            rootMeanSquareDistance(patches.map { $0[0].vectors[representation] })
        }
        /// In units of the distance between different patches.
        func relative(_ distance: Double, _ representation: Int) -> Double {
            scales[representation] > 0 ? distance / scales[representation] : 0
        }
        func interval(_ representation: Int, _ distance: (Int) -> Double) -> MeanInterval {
            MeanInterval(patches.indices.map { relative(distance($0), representation) })
        }
        func moved(_ patch: Int, _ view: Int, _ representation: Int) -> Double {
            distance(patches[patch][view].vectors[representation], patches[patch][0].vectors[representation])
        }
        let (firstAverage, lastAverage) = (1, Self.averagedDraws.count)
        return InvarianceMeasurement(
            patches: count,
            steps: steps.enumerated().map { place, step in
                let views = Self.parts.indices.map { 1 + place * Self.parts.count + $0 }
                let last = 1 + place * Self.parts.count + Self.parts.count - 1
                return InvarianceMeasurement.Step(
                    name: step.name, unit: step.unit, strengths: Self.parts.map { $0 * step.greatest },
                    curves: names.enumerated().map { representation, name in
                        InvarianceMeasurement.Curve(
                            name: name,
                            distances: views.map { view in
                                interval(representation) { moved($0, view, representation) }
                            })
                    },
                    gain: MeanInterval(
                        patches.indices.map { patch in
                            relative(moved(patch, last, 0), 0) - relative(moved(patch, last, lastAverage), lastAverage)
                        }))
            },
            noise: Self.averagedDraws.indices.map { average in
                (
                    names[firstAverage + average],
                    interval(firstAverage + average) { 2.0.squareRoot() * patches[$0][0].expectedDistances[average] }
                )
            })
    }

    /// The draws of every ĝ: the server's for the same seed.
    var averagingDraws: [Transformation] {
        (0..<(Self.averagedDraws.max() ?? 1)).map { sampler.draw(seed: seed, index: UInt64($0)) }
    }

    /// In which direction each step changes a patch: a draw that no ĝ has.
    func direction(of patch: Int) -> Transformation { draws(1, of: .direction, exemplar: patch)[0] }

    private func representationNames(_ features: PooledFeatures) -> [String] {
        ["g"] + Self.averagedDraws.map { "ĝ_\($0)" } + features.layers.filter { $0.repeats == 1 }.map(\.name) + [
            "all layers"
        ]
    }

    /// g, every ĝ_K, the pooled maps layer by layer, and all layers together.
    private func representations(
        of patch: [UInt8], _ draws: [Transformation], _ features: PooledFeatures, _ embedder: Embedder
    ) -> PatchRepresentations {
        let shape = model.configuration.input
        let context = Context(height: shape.height, width: shape.width, pixels: patch)
        var result = PatchRepresentations()
        let border = sampler.ranges.border
        embedder.forEachRow(of: context, [.identity], border: border, model.embeddingOnly) {
            result.vectors.append(Array($1))
        }
        let moments = RunningMoments(dimension: model.dimension(of: model.embeddingOnly))
        embedder.forEachRow(of: context, draws, border: border, model.embeddingOnly) { _, row in
            moments.add(row)
            if Self.averagedDraws.contains(moments.count) {
                result.vectors.append((0..<moments.dimension).map(moments.mean))
                result.expectedDistances.append(moments.expectedDistance ?? 0)
            }
        }
        embedder.forEachRow(of: context, [.identity], border: border, features.selection) { _, row in
            for layer in features.layers.indices where features.layers[layer].repeats == 1 {
                result.vectors.append(features.values(of: layer, in: row))
            }
            result.vectors.append(Array(row))
        }
        return result
    }
}

/// Of one patch, in the order of `representationNames`.
private struct PatchRepresentations: Sendable {
    var vectors: [[Float]] = []
    /// √(tr Σ / K) of each ĝ_K.
    var expectedDistances: [Double] = []
}

private func distance(_ a: [Float], _ b: [Float]) -> Double {
    zip(a, b).reduce(0.0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }.squareRoot()
}

/// Over all pairs of different vectors: √(2 / (M − 1) Σ ‖v − mean‖²).
func rootMeanSquareDistance(_ vectors: [[Float]]) -> Double {
    guard vectors.count > 1, let dimension = vectors.first?.count else { return 0 }
    let squares = (0..<dimension).reduce(0.0) { sum, index in
        let center = mean(vectors.lazy.map { Double($0[index]) })
        return sum + vectors.reduce(0.0) { $0 + (Double($1[index]) - center) * (Double($1[index]) - center) }
    }
    return (2 * squares / Double(vectors.count - 1)).squareRoot()
}
