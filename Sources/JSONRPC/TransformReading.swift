import Transformations

extension TransformOptions {
    private static let names = [
        "mode", "samples", "seed", "index", "tolerance", "steps", "border", "parameters", "standard_errors",
    ]

    /// Explicit transformations of one request: as many as the default queue holds.
    private static let maxExplicitCount = 4096

    /// Seeds are whole numbers that every JSON reader holds exactly.
    public static let seeds = 0...(1 << 53 - 1)

    /// Reads the parameter `transform`, or nil where it is absent.
    init?(_ parameters: Parameters) throws(ResponseError) {
        guard let options = try parameters.object("transform") else { return nil }
        try options.allow(Self.names)
        border = try options.choice("border", default: .reflect)
        wantsStandardErrors = try options.bool("standard_errors") ?? false
        steps = options.has("steps") ? try TransformationSteps(options) : nil
        if options.has("parameters") {
            try options.refuse(
                ["mode", "samples", "seed", "index", "tolerance", "steps"], with: "`transform.parameters`")
            mode = .parameters(try Self.explicit(options))
            return
        }
        let seed = try options.int("seed", in: Self.seeds)
        switch options.node("mode")?.stringSlice {
        case "sample"?:
            try options.refuse(["samples", "tolerance"], with: "the mode \"sample\"")
            mode = .sample(seed: seed, index: try options.int("index", in: Self.seeds) ?? 0)
        case "mean"?:
            try options.refuse(["index"], with: "the mode \"mean\"")
            let samples = try options.int("samples", in: 1...1_000_000)
            let tolerance = try options.double("tolerance")
            guard tolerance.map({ $0 > 0 }) ?? true else {
                throw options.invalid("tolerance", "must be a number above 0.")
            }
            mode = .mean(samples: try options.required("samples", samples), seed: seed, tolerance: tolerance)
        default:
            throw options.invalid("mode", "must be \"sample\" or \"mean\", unless `transform.parameters` are given.")
        }
    }

    private static func explicit(_ options: Parameters) throws(ResponseError) -> [Transformation] {
        guard let elements = try options.elements("parameters", atMost: Self.maxExplicitCount) else {
            throw options.invalid("parameters", "must be an array of objects.")
        }
        var result: [Transformation] = []
        for (index, element) in elements.enumerated() {
            guard element.kind == .object else {
                throw options.invalid("parameters[\(index)]", "must be an object.")
            }
            result.append(
                try Transformation(Parameters(element, prefix: options.path("parameters[\(index)]"))))
        }
        guard !result.isEmpty else { throw options.invalid("parameters", "must hold at least one object.") }
        return result
    }
}

extension TransformationSteps {
    fileprivate init(_ options: Parameters) throws(ResponseError) {
        let error = options.invalid(
            "steps", "must be an array of some of \(Self.named.map { "\"\($0.name)\"" }.joined(separator: ", ")).")
        guard let elements = try options.elements("steps", atMost: 64) else { throw error }
        self = []
        for element in elements {
            guard let step = Self.named.first(where: { element.isString($0.name) }) else { throw error }
            formUnion(step.steps)
        }
    }
}

extension Transformation {
    fileprivate init(_ parameters: Parameters) throws(ResponseError) {
        try parameters.allow(["translation", "scale", "rotation_degrees", "contrast", "color", "hue"])
        self = .identity
        let translation = try parameters.doubles("translation", count: 2)
        (translationX, translationY) = (translation[0], translation[1])
        scale = try parameters.required("scale", try parameters.double("scale"))
        guard scale > 0 else { throw parameters.invalid("scale", "must be above 0.") }
        rotationDegrees = try parameters.required("rotation_degrees", try parameters.double("rotation_degrees"))
        contrast = try parameters.doubles("contrast", count: 3)
        let color = try parameters.required("color", try parameters.object("color"))
        try color.allow(["power", "factor", "offset"])
        power = SaturationValue(try color.doubles("power", count: 2))
        factor = SaturationValue(try color.doubles("factor", count: 2))
        offset = SaturationValue(try color.doubles("offset", count: 2))
        hue = try parameters.required("hue", try parameters.double("hue"))
    }
}

extension SaturationValue {
    /// From an array of two.
    fileprivate init(_ pair: [Double]) { self.init(saturation: pair[0], value: pair[1]) }
}
