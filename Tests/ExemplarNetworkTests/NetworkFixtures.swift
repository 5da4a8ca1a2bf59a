import KernelInterface
import Safetensors
import TestSupport

@testable import ExemplarNetwork

extension LayerConfiguration {
    static func convolution(
        _ name: String, _ outChannels: Int, kernel: Int, stride: Int = 1, padding: Int = 0,
        activation: Activation = .relu
    ) -> LayerConfiguration {
        LayerConfiguration(
            name: name,
            kind: .convolution(
                outChannels: outChannels, kernel: Extent(kernel, kernel), stride: Extent(stride, stride),
                padding: Extent(padding, padding), activation: activation))
    }

    static func maxPool(
        _ name: String, kernel: Int, stride: Int, padding: Int = 0, rounding: Rounding = .floor
    ) -> LayerConfiguration {
        LayerConfiguration(
            name: name,
            kind: .maxPool(
                kernel: Extent(kernel, kernel), stride: Extent(stride, stride), padding: Extent(padding, padding),
                rounding: rounding))
    }

    static func linear(_ name: String, _ outFeatures: Int, _ activation: Activation = .relu) -> LayerConfiguration {
        LayerConfiguration(name: name, kind: .linear(outFeatures: outFeatures, activation: activation))
    }
}

extension NetworkConfiguration {
    static func sequence(
        _ layers: [LayerConfiguration], height: Int, width: Int, channels: Int
    ) -> NetworkConfiguration {
        NetworkConfiguration(
            name: "test", input: PatchShape(height: height, width: width, channels: channels),
            preprocessing: Preprocessing(
                scale: 1.0 / 255, mean: (0..<channels).map { 0.4 + 0.01 * Double($0) },
                std: (0..<channels).map { 0.25 + 0.01 * Double($0) }),
            layers: layers, embedding: layers[layers.count - 1].name)
    }
}

extension Network {
    init(_ oracle: Oracle, _ instructionSet: InstructionSet, _ accuracy: Accuracy = .standard) throws {
        try self.init(oracle, instructionSet) {
            AlgorithmChoice.winograd($0, accuracy: accuracy, costs: CostModel(.throughput, images: $1))
        }
    }

    /// - Parameter type: in which the file has the weights.
    init(
        _ oracle: Oracle, _ instructionSet: InstructionSet, storedAs type: ElementType = .float32,
        algorithm: (PlannedLayer, Int) -> WinogradShape?
    ) throws {
        guard let kernels = KernelTable.table(for: instructionSet) else {
            throw ModelError("This machine cannot run \(instructionSet).")
        }
        var writer = SafetensorsWriter()
        for (tensor, values) in oracle.parameters {
            try writer.add(tensor, type, shape: [values.count], rounding: values.map { Float($0) })
        }
        try self.init(
            configuration: oracle.configuration, layers: PlannedLayer.sequence(oracle.configuration), kernels: kernels,
            algorithm: algorithm, parameters: SafetensorsFile(bytes: writer.bytes, name: "memory"))
    }
}

extension SafetensorsWriter {
    /// Adds a tensor of values as `type` has them, which is a floating-point one of at most 32 bits.
    mutating func add(_ name: String, _ type: ElementType, shape: [Int], rounding values: [Float]) throws {
        guard type != .float32 else { return try add(name, shape: shape, values) }
        let bytes = values.flatMap { value -> [UInt8] in
            let bits = type == .float16 ? Float16(value).bitPattern : UInt16(value.bitPattern >> 16)
            return [UInt8(bits & 0xFF), UInt8(bits >> 8)]
        }
        try add(name, type, shape: shape, bytes: bytes)
    }
}

/// Seeded 8-bit patches.
struct RandomPatches {
    private let shape: NetworkConfiguration.PatchShape
    private let bytes: [UInt8]

    init(_ shape: NetworkConfiguration.PatchShape, count: Int, seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        self.shape = shape
        bytes = (0..<count * shape.count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    func pixels(_ index: Int) -> [Double] {
        bytes[index * shape.count..<(index + 1) * shape.count].map(Double.init)
    }

    func withPixels<Result>(_ body: (UnsafeBufferPointer<EmbedderInput>) -> Result) -> Result {
        bytes.withUnsafeBytes { bytes in
            let patches = stride(from: 0, to: bytes.count, by: shape.count).compactMap { offset in
                bytes.baseAddress.map { base in
                    EmbedderInput(
                        pixels: PatchPixels(address: base + offset, format: .uint8), height: shape.height,
                        width: shape.width)
                }
            }
            return patches.withUnsafeBufferPointer(body)
        }
    }
}
