public enum TransformationBorder: String, CaseIterable, Sendable { case reflect, replicate, zero }
public struct SaturationValue: Sendable, Equatable {
    public var saturation: Double
    public var value: Double
    public init(saturation: Double, value: Double) { self.saturation = saturation; self.value = value }
}
public struct TransformationSteps: OptionSet, Sendable {
    public let rawValue: UInt8; public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let contrast = Self(rawValue: 8); public static let color = Self(rawValue: 16);
    public static let hue = Self(rawValue: 32)
}
public struct Transformation: Sendable, Equatable {
    public var translationX, translationY, scale, rotationDegrees: Double
    public var contrast: [Double]
    public var power, factor, offset: SaturationValue
    public var hue: Double
    public init(
        translationX: Double, translationY: Double, scale: Double, rotationDegrees: Double, contrast: [Double],
        power: SaturationValue, factor: SaturationValue, offset: SaturationValue, hue: Double
    ) {
        self.translationX = translationX; self.translationY = translationY; self.scale = scale;
        self.rotationDegrees = rotationDegrees; self.contrast = contrast; self.power = power; self.factor = factor;
        self.offset = offset; self.hue = hue
    }
    public static let identity = Transformation(
        translationX: 0, translationY: 0, scale: 1, rotationDegrees: 0, contrast: [1, 1, 1],
        power: .init(saturation: 1, value: 1), factor: .init(saturation: 1, value: 1),
        offset: .init(saturation: 0, value: 0), hue: 0)
    public func restricted(to: TransformationSteps) -> Transformation { self }
}
public struct TransformationSampler: Sendable {
    public func draw(seed: UInt64, index: UInt64) -> Transformation { .identity }
}
