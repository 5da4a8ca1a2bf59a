/// The parameters α of one transformation T_α (Dosovitskiy et al. 2014, section 3.1), in the order in which its steps
/// are applied.
public struct Transformation: Sendable, Equatable {
    /// Where the patch's centre is read, in units of the patch's width and height: right and down.
    public var translationX: Double
    public var translationY: Double
    /// Above 1 enlarges.
    public var scale: Double
    /// Of the axes along which the source is read, from x (right) towards y (down).
    public var rotationDegrees: Double
    /// Three factors on the principal components of RGB, the grey axis last.
    public var contrast: [Double]
    /// Saturation and value become clip(factor · x^power + offset), each with its own.
    public var power: SaturationValue
    public var factor: SaturationValue
    public var offset: SaturationValue
    /// Added to the hue, of which 1 is a full turn.
    public var hue: Double

    public init(
        translationX: Double = 0, translationY: Double = 0, scale: Double = 1, rotationDegrees: Double = 0,
        contrast: [Double] = [1, 1, 1], power: SaturationValue = SaturationValue(saturation: 1, value: 1),
        factor: SaturationValue = SaturationValue(saturation: 1, value: 1),
        offset: SaturationValue = SaturationValue(saturation: 0, value: 0), hue: Double = 0
    ) {
        self.translationX = translationX
        self.translationY = translationY
        self.scale = scale
        self.rotationDegrees = rotationDegrees
        self.contrast = contrast
        self.power = power
        self.factor = factor
        self.offset = offset
        self.hue = hue
    }

    /// The patch as it is.
    public static let identity = Transformation()

    /// Whether the steps that move pixels leave them where they are.
    public var keepsGeometry: Bool {
        translationX == 0 && translationY == 0 && scale == 1 && rotationDegrees == 0
    }

    /// This transformation in some of its steps, the identity in the others.
    public func restricted(to steps: TransformationSteps) -> Transformation {
        var result = Transformation.identity
        if steps.contains(.translation) {
            result.translationX = translationX
            result.translationY = translationY
        }
        if steps.contains(.scale) { result.scale = scale }
        if steps.contains(.rotation) { result.rotationDegrees = rotationDegrees }
        if steps.contains(.contrast) { result.contrast = contrast }
        if steps.contains(.color) {
            result.power = power
            result.factor = factor
            result.offset = offset
        }
        if steps.contains(.hue) { result.hue = hue }
        return result
    }
}

/// One number for the saturation and one for the value of HSV.
public struct SaturationValue: Sendable, Equatable {
    public var saturation: Double
    public var value: Double

    public init(saturation: Double, value: Double) {
        self.saturation = saturation
        self.value = value
    }
}

/// Some of the steps of T_α.
public struct TransformationSteps: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let translation = TransformationSteps(rawValue: 1)
    public static let scale = TransformationSteps(rawValue: 2)
    public static let rotation = TransformationSteps(rawValue: 4)
    public static let contrast = TransformationSteps(rawValue: 8)
    public static let color = TransformationSteps(rawValue: 16)
    public static let hue = TransformationSteps(rawValue: 32)

    /// The steps that move pixels.
    public static let geometry: TransformationSteps = [.translation, .scale, .rotation]
    public static let all = TransformationSteps(rawValue: 63)

    /// Each step by its word on the wire and on the command line, in the order in which they are applied.
    public static let named: [(name: String, steps: TransformationSteps)] = [
        ("translation", .translation), ("scale", .scale), ("rotation", .rotation), ("contrast", .contrast),
        ("color", .color), ("hue", .hue),
    ]
}
