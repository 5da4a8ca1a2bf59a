import ExemplarNetwork
import KernelInterface
import TestSupport
import Testing

/// The matrix product, on every instruction set of this machine: against sums in double precision, and in the order
/// that its rounding shows. What nobody should read, and what nobody has written yet, is NaN.
@Suite struct MultiplyPanelTests {
    private static let kernels = InstructionSet.available.compactMap(KernelTable.table(for:))

    @Test func sumsAreThoseOfDoublePrecision() {
        var random = SeededGenerator(seed: 31)
        for kernels in Self.kernels {
            let types: [WeightType] = kernels.takesHalfWeights ? [.float32, .float16, .bfloat16] : [.float32]
            for type in types {
                for vectors in 1...kernels.tileVectors {
                    // Tiles of every height, and several of them; what the weights are made of is the same for each.
                    let heights = Array(1...kernels.tileRows) + [2 * kernels.tileRows + 3]
                    for rows in type == .float32 ? heights : [1, kernels.tileRows + 1] {
                        check(Product(rows: rows, vectors: vectors, tuples: 2, type: type, using: &random), kernels)
                    }
                    // One row, of several panels.
                    check(
                        Product(rows: 1, vectors: vectors, panels: kernels.rowPanels, type: type, using: &random),
                        kernels)
                }
            }
        }
    }

    private func check(_ product: Product, _ kernels: KernelTable) {
        for hasBias in [false, true] {
            for rectifies in [false, true] {
                let worst = product.error(
                    of: product.run(kernels, hasBias: hasBias, rectifies: rectifies), hasBias, rectifies)
                #expect(
                    worst <= 1,
                    """
                    \(worst) of what rounding allows: \(kernels.instructionSet), \(product.type), \
                    \(product.rows) rows, \(product.vectors) vectors, \(product.panels) panels, bias \(hasBias), \
                    rectifier \(rectifies), seed 31
                    """)
            }
        }
    }

    /// 2²⁴ + 1 + … + 1 stays 2²⁴ in float32 where each 1 is added to it, and gains all of them where they are added up
    /// first.
    @Test func partialSumsEndWhereTheirSegmentsSay() {
        for kernels in Self.kernels {
            for (rows, panels) in [(1, 1), (3, 1), (1, kernels.rowPanels)] {
                for ends in [false, true] {
                    var product = Product(
                        rows: rows, vectors: 1, panels: panels,
                        segments: [
                            Segment(offset: 0, length: 1, endsSum: ends), Segment(offset: 2, length: 4, endsSum: false),
                            Segment(offset: 7, length: 4, endsSum: true),
                        ])
                    product.fill(input: { _ in 1 }, weight: { $0 == 0 ? 0x1p24 : 1 })
                    let output = product.run(kernels, hasBias: true, rectifies: false)
                    for index in product.written {
                        #expect(
                            output[index] == (ends ? 0x1p24 + 8 : 0x1p24), "\(kernels.instructionSet), \(panels) panels"
                        )
                    }
                }
            }
        }
    }

    @Test func aRowHasTheSameBitsAloneInCompanyAndInSeveralPanels() {
        for kernels in Self.kernels {
            var random = SeededGenerator(seed: 32)
            let wide = Product(rows: 1, vectors: 1, panels: kernels.rowPanels, using: &random)
            let together = wide.run(kernels, hasBias: true, rectifies: false)
            for panel in 0..<wide.panels {
                for rows in [1, 2, kernels.tileRows] {
                    let narrow = wide.repeated(rows: rows, panel: panel)
                    let output = narrow.run(kernels, hasBias: true, rectifies: false)
                    for row in 0..<rows {
                        let bits = (0..<16).map { output[row * narrow.outputStep + $0].bitPattern }
                        #expect(bits == (0..<16).map { together[panel * 16 + $0].bitPattern }, "\(rows) rows, seed 32")
                    }
                }
            }
        }
    }
}

/// One call's operands. Gaps between segments and rows are NaN.
private struct Product {
    var rows: Int
    let vectors: Int
    var tuples = 1
    var panels = 1
    var type = WeightType.float32
    var segments = [
        Segment(offset: 1, length: 7, endsSum: false), Segment(offset: 9, length: 30, endsSum: true),
        Segment(offset: 40, length: 1, endsSum: true), Segment(offset: 43, length: 20, endsSum: false),
        Segment(offset: 63, length: 5, endsSum: true),
    ]
    private var input: [Float] = []
    /// [tuples or panels][inputs][16 · vectors]
    private var weights: [Float] = []
    private var bias: [Float] = []
    private var start: [Float] = []

    init(rows: Int, vectors: Int, panels: Int, segments: [Segment]) {
        (self.rows, self.vectors, self.panels, self.segments) = (rows, vectors, panels, segments)
    }

    init(
        rows: Int, vectors: Int, tuples: Int = 1, panels: Int = 1, type: WeightType = .float32,
        using random: inout SeededGenerator
    ) {
        (self.rows, self.vectors, self.tuples, self.panels, self.type) = (rows, vectors, tuples, panels, type)
        // Few bits, so that every type of weight holds them.
        fill(
            input: { _ in Float.random(in: -1...1, using: &random) },
            weight: { _ in Float(Int.random(in: -64...64, using: &random)) / 32 })
        bias = bias.map { _ in Float.random(in: -1...1, using: &random) }
        start = start.map { _ in Float.random(in: -1...1, using: &random) }
    }

    private var positions: [Int] { segments.flatMap { $0.offset..<$0.offset + $0.length } }
    private var inputStep: Int { (positions.last ?? 0) + 3 }
    private var width: Int { 16 * vectors }
    /// Of all panels.
    private var rowWidth: Int { width * panels }
    var outputStep: Int { rowWidth + 16 }
    private var weightStep: Int { positions.count * width }

    /// Where outputs are written.
    var written: [Int] {
        (0..<tuples * rows).flatMap { row in (0..<rowWidth).map { row * outputStep + $0 } }
    }

    /// - Parameter weight: of an input of the sum.
    mutating func fill(input value: (Int) -> Float, weight: (Int) -> Float) {
        input = [Float](repeating: .nan, count: tuples * rows * inputStep)
        let (positions, inputStep) = (positions, inputStep)
        for row in 0..<tuples * rows {
            for position in positions { input[row * inputStep + position] = value(position) }
        }
        let (weightStep, width) = (weightStep, width)
        weights = (0..<tuples * panels * weightStep).map { weight($0 % weightStep / width) }
        bias = [Float](repeating: 0, count: rowWidth)
        start = [Float](repeating: 0, count: tuples * rows * outputStep)
    }

    /// One panel of this product of a single row, for as many rows like it.
    func repeated(rows: Int, panel: Int) -> Product {
        var product = Product(rows: rows, vectors: vectors, panels: 1, segments: segments)
        product.input = (0..<rows).flatMap { _ in input }
        product.weights = Array(weights[panel * weightStep..<(panel + 1) * weightStep])
        product.bias = Array(bias[panel * width..<(panel + 1) * width])
        return product
    }

    func run(_ kernels: KernelTable, hasBias: Bool, rectifies: Bool) -> [Float] {
        var output = [Float](repeating: .nan, count: tuples * rows * outputStep)
        if !hasBias { for index in written { output[index] = start[index] } }
        let packed = UnsafeMutableRawPointer.allocate(byteCount: weights.count * type.byteCount, alignment: 64)
        defer { packed.deallocate() }
        for (index, weight) in weights.enumerated() {
            switch type {
            case .float32: packed.storeBytes(of: weight, toByteOffset: 4 * index, as: Float.self)
            case .float16:
                packed.storeBytes(of: halfBits(weight), toByteOffset: 2 * index, as: UInt16.self)
            case .bfloat16:
                packed.storeBytes(
                    of: UInt16(weight.bitPattern >> 16), toByteOffset: 2 * index, as: UInt16.self)
            }
        }
        input.withUnsafeBufferPointer { input in
            segments.withUnsafeBufferPointer { segments in
                bias.withUnsafeBufferPointer { bias in
                    output.withUnsafeMutableBufferPointer { output in
                        guard let input = input.baseAddress, let segments = segments.baseAddress,
                            let bias = bias.baseAddress, let output = output.baseAddress
                        else { return }
                        kernels.multiplyPanel(
                            PanelArguments(
                                input: input, inputStep: inputStep, segments: segments,
                                segmentCount: self.segments.count, weights: UnsafeRawPointer(packed),
                                weightType: type, bias: hasBias ? bias : nil, output: output,
                                outputStep: outputStep, rows: rows, vectors: vectors, rectifies: rectifies,
                                tuples: tuples, inputTupleStep: rows * inputStep, weightTupleStep: weightStep,
                                outputTupleStep: rows * outputStep, panels: panels, weightPanelStep: weightStep))
                    }
                }
            }
        }
        return output
    }

    /// A number that needs no more than binary16's 11 bits.
    private func halfBits(_ number: Float) -> UInt16 {
        guard number != 0 else { return 0 }
        let bits = number.bitPattern
        return UInt16(bits >> 16 & 0x8000) | UInt16((Int(bits >> 23 & 0xFF) - 112) << 10) | UInt16(bits >> 13 & 0x3FF)
    }

    /// The largest error as a part of what the rounding of n sums and products allows; infinite where an output is
    /// missing, or something was written beside them.
    func error(of output: [Float], _ hasBias: Bool, _ rectifies: Bool) -> Double {
        let places = Set(written)
        let (positions, inputStep, outputStep, weightStep) = (positions, inputStep, outputStep, weightStep)
        guard output.indices.allSatisfy({ output[$0].isNaN != places.contains($0) }) else { return .infinity }
        var worst = 0.0
        for tuple in 0..<tuples {
            for row in 0..<rows {
                for channel in 0..<rowWidth {
                    let index = (tuple * rows + row) * outputStep + channel
                    let block = (tuple + channel / width) * weightStep
                    var sum = Double(hasBias ? bias[channel] : start[index])
                    var size = abs(sum)
                    for (k, position) in positions.enumerated() {
                        let term =
                            Double(input[(tuple * rows + row) * inputStep + position])
                            * Double(weights[block + k * width + channel % width])
                        sum += term
                        size += abs(term)
                    }
                    if rectifies { sum = max(sum, 0) }
                    // (1 + u)^n − 1 for n = a product and a sum of each term, one of each part, u = 2⁻²⁴.
                    let allowed = Double(2 * positions.count + segments.count) * 0x1p-24 * size
                    worst = max(worst, abs(Double(output[index]) - sum) / allowed)
                }
            }
        }
        return worst
    }
}
