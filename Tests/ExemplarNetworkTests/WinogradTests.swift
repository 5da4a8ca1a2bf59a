import KernelInterface
import TestSupport
import Testing

@testable import ExemplarNetwork

/// Winograd's algorithms one by one, wherever the planner would or would not choose them.
@Suite struct WinogradTests {
    /// With the rounding of float32 the transforms lose a few bits, more the further their points lie from 1; these
    /// are about one and a half times the most that was seen over the cases below, three layers deep.
    static func tolerance(_ shape: WinogradShape) -> Double {
        switch shape {
        case .f2k3: 4e-6
        case .f4k3, .f2k5: 6e-6
        case .f4k5: 1e-5
        case .f8k5i: 1.4e-5
        case .f8k5: 3e-4
        }
    }

    /// The transforms in double precision are exact up to its rounding: Aᵀ((G g) ⊙ (Bᵀ d)) is the correlation.
    @Test(arguments: WinogradShape.allCases)
    func theTransformsMultiplyPolynomials(_ shape: WinogradShape) {
        var random = SeededGenerator(seed: 8)
        let algorithm = WinogradAlgorithm(shape)
        let (m, r, p) = (shape.outputs, shape.kernel, shape.products)
        let input = (0..<shape.inputs).map { _ in Double.random(in: -1...1, using: &random) }
        // A kernel with one column makes the two-dimensional transform of its weights a product with the last column.
        var kernel = [Double](repeating: 0, count: r * r)
        for row in 0..<r { kernel[row * r + r - 1] = Double.random(in: -1...1, using: &random) }
        var weights = [Double](repeating: .nan, count: p * p)
        var work = [Double](repeating: .nan, count: algorithm.workCount)
        algorithm.transform(kernel, work: &work, into: &weights)
        // Column ∞ of Gᵀ is the unit vector of the last tap.
        var products = zip(transformedInput(algorithm, input), 0..<p).map { $0 * weights[$1 * p + p - 1] }
        #expect(products.count == p)
        let (zero, infinity) = (products.removeFirst(), products.removeLast())
        // The real part of the complex product, and of i times it: the value at −i is the conjugate.
        let atImaginary = shape.hasImaginaryPair ? [products[0] - products[1], products[2] - products[0]] : [0, 0]
        if shape.hasImaginaryPair { products.removeFirst(3) }
        for output in 0..<m {
            let expected = (0..<r).reduce(0) { $0 + kernel[$1 * r + r - 1] * input[output + $1] }
            var actual = zero * (output == 0 ? 1 : 0) + infinity * (output == m - 1 ? 1 : 0)
            actual += atImaginary[output % 2] * (output % 4 < 2 ? 1 : -1)
            for (pair, point) in realPoints(algorithm).enumerated() {
                let power = (0..<output).reduce(1) { result, _ in result * point }
                actual += power * (products[2 * pair] + (output % 2 == 0 ? 1 : -1) * products[2 * pair + 1])
            }
            #expect(abs(actual - expected) < 1e-11, "\(shape), output \(output): \(actual), not \(expected)")
        }
    }

    private func realPoints(_ algorithm: WinogradAlgorithm) -> ArraySlice<Double> {
        algorithm.points.dropFirst(algorithm.shape.hasImaginaryPair ? 1 : 0)
    }

    /// Bᵀ d from its definition: the coefficients of Π (x − q) over the other points.
    private func transformedInput(_ algorithm: WinogradAlgorithm, _ input: [Double]) -> [Double] {
        let finite = [0.0] + realPoints(algorithm).flatMap { [$0, -$0] }
        func times(_ polynomial: [Double], _ root: Double) -> [Double] {
            zip([0] + polynomial, polynomial + [0]).map { $0 - root * $1 }
        }
        func dot(_ roots: [Double], isWithoutImaginary: Bool = false) -> Double {
            var polynomial = roots.reduce([1.0], times)
            if algorithm.shape.hasImaginaryPair, !isWithoutImaginary {
                // x² + 1.
                polynomial = zip([0, 0] + polynomial, polynomial + [0, 0]).map(+)
            }
            return zip(polynomial, input).reduce(0) { $0 + $1.0 * $1.1 }
        }
        var rows = finite.map { point in dot(finite.filter { $0 != point }) } + [dot(finite)]
        if algorithm.shape.hasImaginaryPair {
            // Without i, of x² + 1 the factor x + i is left: x makes the real part, i the imaginary one.
            let real = dot(finite + [0], isWithoutImaginary: true)
            let imaginary = dot(finite, isWithoutImaginary: true)
            rows.insert(contentsOf: [real + imaginary, imaginary, real], at: 1)
        }
        return rows
    }

    @Test(arguments: WinogradShape.allCases)
    func everyShapeAgreesWithTheOracle(_ shape: WinogradShape) throws {
        let kernel = shape.kernel
        // Interior tiles and cut ones, pooled and not, one image and several to a block, channels beside a multiple
        // of the vector and so many that they are summed in parts, padding from none to all.
        for (height, width, channels, out, padding) in [
            (16, 16, 3, 40, kernel / 2), (13, 9, 17, 16, kernel - 1), (8, 21, 1, 5, 0), (32, 12, 33, 70, 1),
            (9, 10, 70, 20, 1),
        ] {
            let configuration = NetworkConfiguration.sequence(
                [
                    .convolution("conv1", channels, kernel: 1, activation: .none),
                    .convolution("conv2", out, kernel: kernel, padding: padding),
                    .maxPool("pool2", kernel: 2, stride: 2), .linear("fc", 9),
                ], height: height, width: width, channels: 2)
            // With conv2 the map is written whole; with fc alone it is pooled on the way.
            try agrees(shape, at: "conv2", of: configuration, batch: 14)
        }
    }

    /// Few channels of the network's own input: vectors of pixels in, products made on the way out, but for the
    /// largest tiles. Odd numbers of tiles, rows of more tiles than are transformed at a time, and blocks of so few
    /// tiles that they fill no whole number of vectors.
    @Test(arguments: WinogradShape.allCases)
    func everyShapeAgreesWithTheOracleOnTheInput(_ shape: WinogradShape) throws {
        let kernel = shape.kernel
        for (height, width, channels, out, padding) in [
            (16, 16, 3, 40, kernel / 2), (9, 45, 1, 16, 0), (13, 27, 3, 5, kernel - 1), (20, 20, 2, 33, 1),
            (shape.inputs, shape.inputs, 3, 16, 0), (shape.inputs, shape.inputs + shape.outputs, 1, 16, 0),
        ] {
            let configuration = NetworkConfiguration.sequence(
                [
                    .convolution("conv1", out, kernel: kernel, padding: padding),
                    .maxPool("pool1", kernel: 2, stride: 2), .linear("fc", 9),
                ], height: height, width: width, channels: channels)
            try agrees(shape, at: "conv1", of: configuration, batch: 6)
        }
    }

    /// Compares a layer that runs by `shape`, and the embedding after it, with the oracle.
    private func agrees(
        _ shape: WinogradShape, at layerName: String, of configuration: NetworkConfiguration, batch: Int
    ) throws {
        let oracle = Oracle.random(configuration, seed: 21)
        let patches = RandomPatches(configuration.input, count: batch, seed: 22)
        let rows = [0, batch / 2 - 1, batch - 1]
        let expected = rows.map { oracle.outputs(for: patches.pixels($0)) }
        let names = configuration.layers.map(\.name)
        for instructionSet in InstructionSet.available {
            let network = try Network(oracle, instructionSet) { layer, _ in
                layer.configuration.name == layerName ? shape : nil
            }
            let embedder = try Embedder(network: network, maximumBatch: batch, poisoned: true)
            for name in [layerName, "fc"] {
                let index = try #require(names.firstIndex(of: name))
                let result = patches.withPixels { embedder.embed($0, LayerSelection(indices: [index])) }
                for (row, expected) in zip(rows, expected) {
                    let error = relativeRMS(result[row], expected[name]?.values ?? [])
                    #expect(
                        error < Self.tolerance(shape),
                        "\(shape) on \(instructionSet), \(configuration.input), \(name): \(error)")
                }
            }
        }
    }

    @Test(arguments: [WinogradShape.f4k5, .f8k5i])
    func poolingOnTheWayGivesTheBitsOfPoolingAfterwards(_ shape: WinogradShape) throws {
        let configuration = NetworkConfiguration.sequence(
            [
                .convolution("conv1", 20, kernel: 5, padding: 2), .maxPool("pool1", kernel: 2, stride: 2),
                .linear("fc", 7),
            ],
            height: 15, width: 18, channels: 3)
        for instructionSet in InstructionSet.available {
            let network = try Network(.random(configuration, seed: 4), instructionSet) { _, _ in shape }
            let embedder = try Embedder(network: network, maximumBatch: 3, poisoned: true)
            let patches = RandomPatches(configuration.input, count: 3, seed: 5)
            let onTheWay = patches.withPixels { pixels in
                embedder.embed(pixels, LayerSelection(indices: [2])).rowsOfBits
            }
            let afterwards = patches.withPixels { pixels in
                embedder.embed(pixels, LayerSelection(indices: [0, 2])).rowsOfBits.map { $0.suffix(7) }
            }
            #expect(onTheWay.map { $0[...] } == afterwards)
        }
    }
}

extension EmbeddingBatch {
    fileprivate var rowsOfBits: [[UInt32]] {
        (0..<rows).map { self[$0].map(\.bitPattern) }
    }
}
