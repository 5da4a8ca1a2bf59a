/// The ranges from which the transformation parameters α are drawn (Dosovitskiy et al. 2014, section 3.1).
public struct TransformationRanges: Sendable, Equatable {
    /// Translations are uniform in ± this, in units of the patch side.
    public var translation: Double
    /// Log-uniform; above 1 enlarges.
    public var scale: ClosedRange<Double>
    /// Angles are uniform in ± this.
    public var rotationDegrees: Double
    /// Factors 2^(σ·N(0,1)) on the principal components of RGB; colour networks only.
    public var contrast: Contrast?
    /// Powers, factors and offsets of saturation and value; colour networks only.
    public var color: Color?
    /// Uniform, added to the hue modulo 1; colour networks only.
    public var hue: ClosedRange<Double>?
    /// What lies beyond the pixels that were sent.
    public var border: TransformationBorder

    /// The principal components of RGB, and how far factors on them go.
    public struct Contrast: Sendable, Equatable {
        /// Of R, G and B, in 0 … 1.
        public var mean: [Double]
        /// Three orthonormal rows over R, G and B, the grey axis last.
        public var components: [[Double]]
        /// The standard deviation of each component's log₂ factor; 0 or more.
        public var sigma: [Double]

        public init(mean: [Double], components: [[Double]], sigma: [Double]) {
            self.mean = mean
            self.components = components
            self.sigma = sigma
        }
    }

    /// The ranges for saturation and value, from which each draws its own numbers.
    public struct Color: Sendable, Equatable {
        /// Log-uniform.
        public var power: ClosedRange<Double>
        /// Log-uniform.
        public var factor: ClosedRange<Double>
        /// Uniform.
        public var offset: ClosedRange<Double>

        public init(power: ClosedRange<Double>, factor: ClosedRange<Double>, offset: ClosedRange<Double>) {
            self.power = power
            self.factor = factor
            self.offset = offset
        }
    }

    public init(
        translation: Double, scale: ClosedRange<Double>, rotationDegrees: Double, contrast: Contrast?, color: Color?,
        hue: ClosedRange<Double>?, border: TransformationBorder
    ) {
        self.translation = translation
        self.scale = scale
        self.rotationDegrees = rotationDegrees
        self.contrast = contrast
        self.color = color
        self.hue = hue
        self.border = border
    }

    /// The steps that these ranges can draw: colour steps need ranges of their own.
    public var steps: TransformationSteps {
        var steps = TransformationSteps.geometry
        if contrast != nil { steps.insert(.contrast) }
        if color != nil { steps.insert(.color) }
        if hue != nil { steps.insert(.hue) }
        return steps
    }
}

/// What lies beyond the pixels that were sent.
public enum TransformationBorder: String, CaseIterable, Sendable {
    /// The image mirrored at its outermost pixels, which are not repeated: NumPy's `reflect`.
    case reflect
    /// The nearest pixel of the image.
    case replicate
    /// Zeros: black.
    case zero
}
