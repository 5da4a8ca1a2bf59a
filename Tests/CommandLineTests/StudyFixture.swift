import ExemplarNetwork
import Safetensors
import TestSupport
import Transformations

@testable import exemplar

/// A small network with a head over 20 exemplars, and the exemplars: random fields, smooth enough to be patches.
struct StudyFixture {
    static let classes = 20
    /// Of the contexts.
    static let side = 26
    static let ranges = TransformationRanges(
        translation: 0.2, scale: 0.8...1.25, rotationDegrees: 20,
        contrast: .init(
            mean: [0.5, 0.45, 0.4], components: [[1, 0, 0], [0, 0.6, -0.8], [0, 0.8, 0.6]], sigma: [0.3, 0.3, 0.2]),
        color: .init(power: 0.5...2, factor: 0.8...1.25, offset: -0.1...0.1), hue: -0.1...0.1, border: .reflect)

    let oracle: Oracle
    let folder: TemporaryModel
    let contexts: [[UInt8]]
    /// The head's rows of the exemplars in the file, in its order.
    let rows = [3, 0, 17, 8, 11, 19, 5, 2]

    static func configuration(head: Bool = true, transformations: TransformationRanges? = ranges)
        -> NetworkConfiguration
    {
        NetworkConfiguration(
            name: "study", input: .init(height: 12, width: 12, channels: 3),
            preprocessing: .init(scale: 1.0 / 255, mean: [0.5, 0.45, 0.4], std: [0.25, 0.25, 0.25]),
            layers: [
                LayerConfiguration(
                    name: "conv1",
                    kind: .convolution(
                        outChannels: 6, kernel: Extent(3, 3), stride: Extent(1, 1), padding: Extent(1, 1),
                        activation: .relu)),
                LayerConfiguration(
                    name: "pool1",
                    kind: .maxPool(
                        kernel: Extent(2, 2), stride: Extent(2, 2), padding: Extent(0, 0), rounding: .floor)),
                LayerConfiguration(name: "fc", kind: .linear(outFeatures: 10, activation: .relu)),
            ]
                + (head
                    ? [LayerConfiguration(name: "head", kind: .linear(outFeatures: classes, activation: .none))] : []),
            embedding: "fc", head: head ? "head" : nil, transformations: transformations)
    }

    /// - Parameter isBlank: whether the head is W = 0, b = 0.
    init(isBlank: Bool = false, border: TransformationBorder = .reflect) throws {
        var ranges = Self.ranges
        ranges.border = border
        var oracle = Oracle.random(Self.configuration(transformations: ranges), seed: 5)
        if isBlank {
            for name in ["head.weight", "head.bias"] {
                oracle.parameters[name] = oracle.parameters[name]?.map { _ in 0 }
            }
        }
        self.oracle = oracle
        folder = try TemporaryModel(oracle)
        var random = SeededGenerator(seed: 6)
        contexts = rows.map { _ in Self.smoothField(&random) }
        try write(rows: rows)
    }

    /// Writes `exemplars.safetensors` with these rows.
    func write(rows: [Int]) throws {
        var writer = SafetensorsWriter()
        try writer.add(
            "patches", .uint8, shape: [contexts.count, Self.side, Self.side, 3], bytes: Array(contexts.joined()))
        let bytes = rows.flatMap { withUnsafeBytes(of: Int32($0).littleEndian, Array.init) }
        try writer.add("index", .int32, shape: [rows.count], bytes: bytes)
        try folder.write("exemplars.safetensors", writer.bytes)
    }

    private static func smoothField(_ random: inout SeededGenerator) -> [UInt8] {
        let waves = (0..<9).map { _ in (0..<4).map { _ in Double.random(in: -1...1, using: &random) } }
        return (0..<side * side * 3).map { place in
            let (x, y, channel) = (Double(place / 3 % side), Double(place / 3 / side), place % 3)
            // Parabolas of the coordinates, folded: structure in every channel without a table of sines.
            let value = waves[channel * 3..<channel * 3 + 3].reduce(0.5) { sum, wave in
                let phase = wave[0] * x + wave[1] * y + 9 * wave[2]
                let folded = abs(phase - 2 * (phase / 2).rounded())
                return sum + wave[3] * (folded - 0.5) / 2
            }
            return UInt8(min(max(value, 0), 1) * 255)
        }
    }

    /// The contexts' middles: patches without surroundings.
    var patches: [Context] {
        let margin = (Self.side - 12) / 2
        return contexts.map { context in
            Context(
                height: 12, width: 12,
                pixels: (0..<12 * 12 * 3).map { place in
                    context[((place / 36 + margin) * Self.side + place / 3 % 12 + margin) * 3 + place % 3]
                })
        }
    }

    func model() throws -> Model { try LocalNetwork(folder: folder.path).network }

    func study(threads: Int = 2, seed: UInt64 = 7, count: Int = 100) throws -> Study {
        let model = try model()
        return Study(
            model: model, exemplars: try ExemplarSet(nil, model: model, folder: folder.path, count: count),
            sampler: try model.study(), seed: seed, threads: threads)
    }
}
