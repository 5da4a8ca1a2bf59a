public import ExemplarNetwork

/// The network's equations in double precision, written for reading: no layout but the textbook's, no blocking, no
/// sharing of code with what it judges. Maps are [C][H][W], as in the files.
public struct Oracle: Sendable {
    public var configuration: NetworkConfiguration
    /// By tensor name, in the layout of the file.
    public var parameters: [String: [Double]]

    public init(configuration: NetworkConfiguration, parameters: [String: [Double]]) {
        self.configuration = configuration
        self.parameters = parameters
    }

    /// A map with its channels, rows and columns.
    public struct Map: Sendable {
        public var channels: Int
        public var height: Int
        public var width: Int
        public var values: [Double]

        init(channels: Int, height: Int, width: Int, values: [Double] = []) {
            self.channels = channels
            self.height = height
            self.width = width
            self.values = values
        }

        func at(_ c: Int, _ y: Int, _ x: Int) -> Double? {
            (0..<height).contains(y) && (0..<width).contains(x) ? values[(c * height + y) * width + x] : nil
        }
    }

    /// Every layer's output, after its activation, for a patch of pixels (0 … 255) in H, W, C order.
    public func outputs(for pixels: [Double]) -> [String: Map] {
        outputs(for: pixels, of: configuration.input)
    }

    /// Every layer's output for an image at least as large as the patch: a linear layer is the convolution whose kernel
    /// is what it sees of a patch.
    public func outputs(for pixels: [Double], of input: NetworkConfiguration.PatchShape) -> [String: Map] {
        let preprocessing = configuration.preprocessing
        let patchShape = configuration.input
        var patch = Map(channels: patchShape.channels, height: patchShape.height, width: patchShape.width)
        var map = Map(channels: input.channels, height: input.height, width: input.width)
        for c in 0..<input.channels {
            for position in 0..<input.height * input.width {
                let pixel = pixels[position * input.channels + c]
                map.values.append((pixel * preprocessing.scale - preprocessing.mean[c]) / preprocessing.std[c])
            }
        }
        var outputs: [String: Map] = [:]
        for layer in configuration.layers {
            var output = Oracle.shape(of: layer, over: map)
            switch layer.kind {
            case .convolution(_, let kernel, let stride, let padding, let activation):
                map = convolution(layer.name, map, output, kernel, stride, padding)
                if activation == .relu { map.values = map.values.map { max($0, 0) } }
            case .maxPool(let kernel, let stride, let padding, _):
                map = maxPool(map, output, kernel, stride, padding)
            case .linear(_, let activation):
                let kernel = Extent(patch.height, patch.width)
                output.height = map.height - kernel.height + 1
                output.width = map.width - kernel.width + 1
                map = convolution(layer.name, map, output, kernel, Extent(1, 1), Extent(0, 0))
                if activation == .relu { map.values = map.values.map { max($0, 0) } }
            }
            outputs[layer.name] = map
            patch = Oracle.shape(of: layer, over: patch)
        }
        return outputs
    }

    /// The shape of a layer's output; its values are left empty.
    static func shape(of layer: LayerConfiguration, over input: Map) -> Map {
        func windows(_ size: Int, _ kernel: Int, _ stride: Int, _ padding: Int) -> Int {
            (size + 2 * padding - kernel) / stride + 1
        }
        switch layer.kind {
        case .convolution(let outChannels, let kernel, let stride, let padding, _):
            return Map(
                channels: outChannels, height: windows(input.height, kernel.height, stride.height, padding.height),
                width: windows(input.width, kernel.width, stride.width, padding.width))
        case .maxPool(let kernel, let stride, let padding, let rounding):
            func pooled(_ size: Int, _ kernel: Int, _ stride: Int, _ padding: Int) -> Int {
                guard rounding == .ceil else { return windows(size, kernel, stride, padding) }
                let count = (size + 2 * padding - kernel + stride - 1) / stride + 1
                return (count - 1) * stride >= size + padding ? count - 1 : count
            }
            return Map(
                channels: input.channels, height: pooled(input.height, kernel.height, stride.height, padding.height),
                width: pooled(input.width, kernel.width, stride.width, padding.width))
        case .linear(let outFeatures, _):
            return Map(channels: outFeatures, height: 1, width: 1)
        }
    }

    private func convolution(
        _ name: String, _ input: Map, _ shape: Map, _ kernel: Extent, _ stride: Extent, _ padding: Extent
    ) -> Map {
        let weights = parameters[name + ".weight"] ?? []
        let bias = parameters[name + ".bias"] ?? []
        var output = shape
        for o in 0..<output.channels {
            for y in 0..<output.height {
                for x in 0..<output.width {
                    var sum = bias[o]
                    for c in 0..<input.channels {
                        for i in 0..<kernel.height {
                            for j in 0..<kernel.width {
                                let row = y * stride.height - padding.height + i
                                let column = x * stride.width - padding.width + j
                                let weight =
                                    weights[((o * input.channels + c) * kernel.height + i) * kernel.width + j]
                                sum += weight * (input.at(c, row, column) ?? 0)
                            }
                        }
                    }
                    output.values.append(sum)
                }
            }
        }
        return output
    }

    private func maxPool(_ input: Map, _ shape: Map, _ kernel: Extent, _ stride: Extent, _ padding: Extent) -> Map {
        var output = shape
        for c in 0..<output.channels {
            for y in 0..<output.height {
                for x in 0..<output.width {
                    var best = -Double.infinity
                    for i in 0..<kernel.height {
                        for j in 0..<kernel.width {
                            let row = y * stride.height - padding.height + i
                            let column = x * stride.width - padding.width + j
                            best = max(best, input.at(c, row, column) ?? -.infinity)
                        }
                    }
                    output.values.append(best)
                }
            }
        }
        return output
    }
}

extension Accuracy {
    /// The relative RMS that a forward pass may be off by.
    ///
    /// The error of a float32 sum of a few thousand products is a few units in the last place of its largest partial
    /// sum: 1e-6 of the output's RMS. Twice that over several layers. The transforms of F(4×4, 5×5), or of F(8×8, 5×5)
    /// with ±i among its points, double it again; those of F(8×8, 5×5) over real points cost up to a hundred times as
    /// much.
    public var tolerance: Double {
        switch self {
        case .exact: 2e-6
        case .standard: 5e-6
        case .fast: 2e-4
        }
    }
}

/// √(Σ (actual − expected)² / Σ expected²), the figure that tolerances are given in; NaN if anything is, infinite where
/// one has more values than the other.
public func relativeRMS(_ actual: some Collection<Float>, _ expected: some Collection<Double>) -> Double {
    guard actual.count == expected.count else { return .infinity }
    var difference = 0.0
    var reference = 0.0
    for (a, e) in zip(actual, expected) {
        difference += (Double(a) - e) * (Double(a) - e)
        reference += e * e
    }
    return reference == 0 ? difference.squareRoot() : (difference / reference).squareRoot()
}
