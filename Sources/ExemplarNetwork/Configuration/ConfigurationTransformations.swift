import Transformations

extension NetworkConfiguration {
    /// The ranges of α; contrast, colour and hue belong to RGB networks alone.
    static func transformations(
        _ object: ConfigurationObject?, channels: Int
    ) throws(ModelError) -> TransformationRanges? {
        guard var object else { return nil }
        let translation = try object.number("translation")
        let scale = try object.range("scale", above: 0)
        let rotation = try object.number("rotation_degrees")
        guard (0...1).contains(translation), (0...180).contains(rotation) else {
            throw ModelError("\(object.path).translation must lie in 0 … 1 and rotation_degrees in 0 … 180")
        }
        let contrast = try contrast(object.optionalObject("contrast"))
        let color = try color(object.optionalObject("color"))
        let hue = try object.optionalRange("hue")
        guard channels == 3 || (contrast == nil && color == nil && hue == nil) else {
            throw ModelError("\(object.path): contrast, color and hue are for networks of 3 channels")
        }
        let border: TransformationBorder = try object.word("border", default: .reflect)
        try object.finish()
        return TransformationRanges(
            translation: translation, scale: scale, rotationDegrees: rotation, contrast: contrast, color: color,
            hue: hue, border: border)
    }

    private static func contrast(
        _ object: ConfigurationObject?
    ) throws(ModelError) -> TransformationRanges.Contrast? {
        guard var object else { return nil }
        let mean = try object.numbers("mean", count: 3)
        let sigma = try object.numbers("sigma", count: 3)
        var components: [[Double]] = []
        for row in try object.array("components") {
            components.append(try ConfigurationObject.numbers(row, count: 3, path: "\(object.path).components"))
        }
        try object.finish()
        guard sigma.allSatisfy({ $0 >= 0 }) else { throw ModelError("\(object.path).sigma must not be negative") }
        let isOrthonormal =
            components.count == 3
            && (0..<9).allSatisfy { index in
                let product = zip(components[index / 3], components[index % 3]).reduce(0) { $0 + $1.0 * $1.1 }
                // A thousandth of a unit is a pixel's quarter step: a rotation typed with three digits passes.
                return abs(product - (index / 3 == index % 3 ? 1 : 0)) <= 1e-3
            }
        guard isOrthonormal else { throw ModelError("\(object.path).components must be three orthonormal rows") }
        return TransformationRanges.Contrast(mean: mean, components: components, sigma: sigma)
    }

    private static func color(_ object: ConfigurationObject?) throws(ModelError) -> TransformationRanges.Color? {
        guard var object else { return nil }
        let color = TransformationRanges.Color(
            power: try object.range("power", above: 0), factor: try object.range("factor", above: 0),
            offset: try object.range("offset"))
        try object.finish()
        return color
    }
}
