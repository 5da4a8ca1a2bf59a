public import ExemplarNetwork

extension Oracle {
    /// `configuration` with seeded weights of the scale that keeps activations near 1 (He et al. 2015), exact in
    /// float32, so that the oracle and the kernels start from the same numbers.
    public static func random(_ configuration: NetworkConfiguration, seed: UInt64) -> Oracle {
        var random = SeededGenerator(seed: seed)
        var parameters: [String: [Double]] = [:]
        let input = configuration.input
        var map = Map(channels: input.channels, height: input.height, width: input.width)
        for layer in configuration.layers {
            let output = shape(of: layer, over: map)
            let window: Int? =
                switch layer.kind {
                case .convolution(_, let kernel, _, _, _): kernel.height * kernel.width
                case .linear: map.height * map.width
                case .maxPool: nil
                }
            if let window {
                let inputs = map.channels * window
                let deviation = (2 / Double(inputs)).squareRoot()
                parameters[layer.name + ".weight"] = (0..<output.channels * inputs).map { _ in
                    Double(Float(random.normal() * deviation))
                }
                parameters[layer.name + ".bias"] = (0..<output.channels).map { _ in
                    Double(Float(random.normal() * 0.1))
                }
            }
            map = output
        }
        return Oracle(configuration: configuration, parameters: parameters)
    }

    /// A network whose second layer has another algorithm for each accuracy, and for each goal of the planner.
    public static func planned() -> Oracle {
        func convolution(_ name: String, kernel: Int) -> LayerConfiguration {
            LayerConfiguration(
                name: name,
                kind: .convolution(
                    outChannels: 64, kernel: Extent(kernel, kernel), stride: Extent(1, 1),
                    padding: Extent(kernel / 2, kernel / 2), activation: .relu))
        }
        return .random(
            NetworkConfiguration(
                name: "planned", input: .init(height: 16, width: 16, channels: 3),
                preprocessing: .init(scale: 1.0 / 255, mean: [0.4, 0.4, 0.4], std: [0.3, 0.3, 0.3]),
                layers: [
                    convolution("conv1", kernel: 1), convolution("conv2", kernel: 5),
                    LayerConfiguration(name: "fc", kind: .linear(outFeatures: 8, activation: .none)),
                ], embedding: "fc"),
            seed: 64)
    }
}

extension SeededGenerator {
    /// A standard normal variate, near enough for weights: the sum of twelve uniforms (Irwin–Hall).
    public mutating func normal() -> Double {
        (0..<12).reduce(-6) { sum, _ in sum + Double.random(in: 0..<1, using: &self) }
    }
}
