import Glibc

/// Draws transformation parameters α from a model's ranges.
///
/// Draw k under a seed depends on the two numbers alone: not on earlier draws, nor on the steps that will be used.
/// docs/transformations.md has the generator in full, to reproduce the draws in another language.
public struct TransformationSampler: Sendable, Equatable {
    public let ranges: TransformationRanges

    public init(ranges: TransformationRanges) { self.ranges = ranges }

    /// α_k for k = `index`. Steps for which there are no ranges are the identity.
    public func draw(seed: UInt64, index: UInt64) -> Transformation {
        let uniform = UniformDraws(seed: seed, index: index)
        var result = Transformation.identity

        let (x, y) = uniform.pair(0)
        result.translationX = (2 * x - 1) * ranges.translation
        result.translationY = (2 * y - 1) * ranges.translation
        let (scale, rotation) = uniform.pair(1)
        result.scale = Self.logUniform(scale, in: ranges.scale)
        result.rotationDegrees = (2 * rotation - 1) * ranges.rotationDegrees

        if let contrast = ranges.contrast {
            let (first, second) = Self.normal(uniform.pair(2))
            let third = Self.normal(uniform.pair(3)).0
            result.contrast = zip(contrast.sigma, [first, second, third]).map { exp2($0 * $1) }
        }
        if let color = ranges.color {
            result.power = Self.saturationValue(uniform.pair(4)) { Self.logUniform($0, in: color.power) }
            result.factor = Self.saturationValue(uniform.pair(5)) { Self.logUniform($0, in: color.factor) }
            result.offset = Self.saturationValue(uniform.pair(6)) { Self.uniform($0, in: color.offset) }
        }
        if let hue = ranges.hue { result.hue = Self.uniform(uniform.pair(7).0, in: hue) }
        return result
    }

    private static func uniform(_ u: Double, in range: ClosedRange<Double>) -> Double {
        range.lowerBound + (range.upperBound - range.lowerBound) * u
    }

    /// The logarithm is uniform.
    private static func logUniform(_ u: Double, in range: ClosedRange<Double>) -> Double {
        let value = exp(log(range.lowerBound) + (log(range.upperBound) - log(range.lowerBound)) * u)
        // Rounding may step over an end.
        return min(max(value, range.lowerBound), range.upperBound)
    }

    /// Two independent standard normal variates from two uniform ones (Box and Muller 1958).
    private static func normal(_ u: (Double, Double)) -> (Double, Double) {
        // 1 − u is never 0.
        let radius = (-2 * log(1 - u.0)).squareRoot()
        return (radius * cos(2 * .pi * u.1), radius * sin(2 * .pi * u.1))
    }

    private static func saturationValue(
        _ u: (Double, Double), _ quantile: (Double) -> Double
    ) -> SaturationValue {
        SaturationValue(saturation: quantile(u.0), value: quantile(u.1))
    }
}
