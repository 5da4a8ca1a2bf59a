import ExemplarNetwork
import JSONRPC
import TestSupport
import Transformations

extension TransformationRanges {
    /// Every step, in ranges so mild that float32 follows double precision: colours jump at black and grey.
    static let everyStep = TransformationRanges(
        translation: 0.25, scale: 0.75...1.4, rotationDegrees: 25,
        contrast: Contrast(
            mean: [0.5, 0.48, 0.46],
            components: [
                // Orthonormal to within the thousandth that is asked for, the grey axis last.
                [0.7071, -0.7071, 0], [0.4082, 0.4082, -0.8165], [0.5774, 0.5774, 0.5774],
            ], sigma: [0.3, 0.3, 0.2]),
        color: Color(power: 0.8...1.25, factor: 0.9...1.1, offset: -0.05...0.05), hue: -0.1...0.1, border: .reflect)

    /// α_k by the module of the transformations, which its own tests hold against the generator's definition.
    func draw(seed: UInt64, _ index: Int) -> Transformation {
        TransformationSampler(ranges: self).draw(seed: seed, index: UInt64(index))
    }
}

/// Seeded pixels around a patch, and what becomes of them in double precision.
struct OracleContext {
    let oracle: Oracle
    let height: Int
    let width: Int
    let pixels: [UInt8]

    init(_ oracle: Oracle, height: Int, width: Int, seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        self.oracle = oracle
        self.height = height
        self.width = width
        pixels = (0..<height * width * oracle.configuration.input.channels).map { _ in
            UInt8.random(in: 0...255, using: &random)
        }
    }

    /// T_α x, fractions of 255, and how far each moves when what is sampled moves by 1e-4: coordinates in float32 have
    /// errors of some 1e-6, by which pixels that differ by up to 1 are mixed.
    func patch(
        _ alpha: Transformation, _ border: TransformationBorder = .reflect
    ) -> [OracleTransformation.Value] {
        let input = oracle.configuration.input
        return OracleTransformation(
            source: pixels.map { Double($0) / 255 }, height: height, width: width, channels: input.channels,
            contrast: oracle.configuration.transformations?.contrast
        ).patch(height: input.height, width: input.width, alpha, border, sampled: 1e-4)
    }

    /// Every layer's output for T_α x.
    func outputs(
        _ alpha: Transformation, _ border: TransformationBorder = .reflect
    ) -> [String: Oracle.Map] {
        oracle.outputs(for: patch(alpha, border).map { 255 * $0.value })
    }

    /// A line that sends `contexts`, all of one shape.
    ///
    /// - Parameter parameters: JSON members beside them.
    static func line(
        _ method: String, id: String = "1", _ contexts: [OracleContext], _ parameters: String
    ) -> String {
        let patches = contexts.map { "\"\(base64($0.pixels))\"" }.joined(separator: ",")
        let shape =
            contexts.first.map { "[\($0.height),\($0.width),\($0.oracle.configuration.input.channels)]" } ?? "[]"
        return #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":{"patches":[\#(patches)],"#
            + #""shape":\#(shape),\#(parameters)}}"#
    }
}

/// The mean of rows.
func mean(_ rows: some Collection<[Double]>) -> [Double] {
    let sums = rows.dropFirst().reduce(rows.first ?? []) { sum, row in zip(sum, row).map { $0 + $1 } }
    return sums.map { $0 / Double(rows.count) }
}

func number(_ value: JSONValue?) -> Double? {
    switch value {
    case .double(let number)?: number
    case .int(let number)?: Double(number)
    default: nil
    }
}

func array(_ value: JSONValue?) -> [JSONValue] {
    guard case .array(let elements)? = value else { return [] }
    return elements
}

extension Transformation {
    /// α as the server writes it.
    init(_ json: JSONValue) throws {
        func numbers(_ value: JSONValue?, _ count: Int) throws -> [Double] {
            let numbers = array(value).compactMap { number($0) }
            guard numbers.count == count else { throw TestFailure("\(json) has no \(count) numbers") }
            return numbers
        }
        func pair(_ name: String) throws -> SaturationValue {
            let pair = try numbers(json["color"]?[name], 2)
            return SaturationValue(saturation: pair[0], value: pair[1])
        }
        guard let scale = number(json["scale"]), let rotation = number(json["rotation_degrees"]),
            let hue = number(json["hue"])
        else { throw TestFailure("\(json) is not complete") }
        let translation = try numbers(json["translation"], 2)
        self.init(
            translationX: translation[0], translationY: translation[1], scale: scale, rotationDegrees: rotation,
            contrast: try numbers(json["contrast"], 3), power: try pair("power"), factor: try pair("factor"),
            offset: try pair("offset"), hue: hue)
    }
}
