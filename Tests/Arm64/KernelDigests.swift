import KernelInterface
import Kernels

/// Runs every kernel on seeded inputs and writes a digest of what comes out, case by case. Kernels that fuse their
/// multiply-adds, in register tiles of one vector, give the same bits on every processor: what AVX2 gives, which the
/// tests hold against the oracle, is what NEON must give.
///
/// Embedded Swift, which is all of Swift that there is for arm64 beside a toolchain of its own: no library but the
/// language's.
@main
struct KernelDigests {
    static func main() {
        let kernels = kernelTable()
        for rows in 1...11 { multiply(kernels, rows: rows, tuples: rows % 3 + 1) }
        multiply(kernels, rows: 1, tuples: 1, panels: kernels.rowPanels)
        for shape in WinogradShape.allCases { winograd(kernels, shape) }
        pools(kernels)
        for border in [PixelBorder.reflect, .replicate, .zero] {
            for channels in [1, 3, 4] { transform(kernels, border, channels: channels) }
        }
    }
}

/// Floats, and the seed that they come from.
struct Buffer {
    let start: UnsafeMutablePointer<Float>
    let count: Int

    /// - Parameter seed: nil for NaN, so that what is not written shows.
    init(_ count: Int, seed: UInt64?) {
        // Behind the last pixel a vector may be read.
        let whole = count + 32
        start = UnsafeMutableRawPointer.allocate(byteCount: whole * 4, alignment: 64).bindMemory(
            to: Float.self, capacity: whole)
        self.count = count
        var state = seed ?? 0
        for index in 0..<whole {
            guard seed != nil else {
                start[index] = .nan
                continue
            }
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            start[index] = Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
        }
    }
}

/// Writes the digest (FNV-1a) of what a case left in a buffer. NaN that was never written has one digest, whatever its
/// bits: processors differ in them.
func report(_ name: StaticString, _ parts: Int..., of buffer: Buffer) {
    var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    for index in 0..<buffer.count {
        let value = buffer.start[index]
        var bits = value.isNaN ? UInt32.max : value.bitPattern
        for _ in 0..<4 {
            digest = (digest ^ UInt64(bits & 0xFF)) &* 0x100_0000_01B3
            bits >>= 8
        }
    }
    print(name, terminator: " ")
    for part in parts { print(part, terminator: " ") }
    print(digest)
}

private func multiply(_ kernels: KernelTable, rows: Int, tuples: Int, panels: Int = 1) {
    let segments: [Segment] = [
        Segment(offset: 0, length: 37, endsSum: false), Segment(offset: 40, length: 3, endsSum: true),
        Segment(offset: 50, length: 64, endsSum: true),
    ]
    let (depth, step) = (37 + 3 + 64, 120)
    let input = Buffer(tuples * rows * step, seed: 1)
    let weights = Buffer(panels * tuples * depth * 16, seed: 2)
    let bias = Buffer(panels * 16, seed: 3)
    // Without the highest bit of the exponent any 16 bits are a number of either type.
    let halves = UnsafeMutableRawPointer.allocate(byteCount: weights.count * 2, alignment: 64)
    for index in 0..<weights.count {
        halves.storeBytes(
            of: UInt16(truncatingIfNeeded: weights.start[index].bitPattern >> 3) & 0xBFFF, toByteOffset: index * 2,
            as: UInt16.self)
    }
    for (number, type) in [WeightType.float32, .float16, .bfloat16].enumerated() where tuples == 1 || number == 0 {
        for (hasBias, rectifies) in [(true, false), (true, true), (false, true)] {
            let output = Buffer(tuples * rows * panels * 16, seed: hasBias ? nil : 4)
            segments.withUnsafeBufferPointer { segments in
                guard let start = segments.baseAddress else { return }
                kernels.multiplyPanel(
                    PanelArguments(
                        input: input.start, inputStep: step, segments: start, segmentCount: segments.count,
                        weights: type == .float32 ? UnsafeRawPointer(weights.start) : UnsafeRawPointer(halves),
                        weightType: type, bias: hasBias ? bias.start : nil, output: output.start,
                        outputStep: panels * 16, rows: rows, vectors: 1, rectifies: rectifies, tuples: tuples,
                        inputTupleStep: rows * step, weightTupleStep: depth * 16,
                        outputTupleStep: rows * panels * 16, panels: panels, weightPanelStep: tuples * depth * 16))
            }
            report("multiplyPanel", number, rows, tuples, panels, hasBias ? 1 : 0, rectifies ? 1 : 0, of: output)
        }
    }
}

private func winograd(_ kernels: KernelTable, _ shape: WinogradShape) {
    let (m, t, p) = (shape.outputs, shape.inputs, shape.products)
    let scratch = Buffer(shape.scratchCount, seed: nil)
    let coefficients = Buffer(shape.pairs + (shape.pairs + 1) + shape.pairs * shape.pairs, seed: 5)
    let powers = Buffer(shape.pairs * m, seed: 6)
    for tiles in [1, 3, 9] {
        let columns = m * (tiles - 1) + t
        let map = Buffer(t * columns * 32, seed: 7)
        let tileStep = 48
        let tupleStep = tiles * tileStep
        let inner = Buffer(p * p * tupleStep, seed: nil)
        kernels.transformInput(
            InputTransformArguments(
                shape: shape, input: map.start, rowStride: columns * 32, columnStride: 32, vectors: 2, tiles: tiles,
                output: inner.start, tupleStep: tupleStep, tileStep: tileStep, scratch: scratch.start,
                coefficients: coefficients.start))
        report("transformInput", m, shape.kernel, p, tiles, of: inner)
        let bias = Buffer(32, seed: 8)
        let products = Buffer(p * p * tupleStep, seed: 9)
        for (pools, cut) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
            let output = Buffer(m * m * tiles * 32, seed: nil)
            kernels.transformOutput(
                OutputTransformArguments(
                    shape: shape, channels: 0, weights: bias.start, input: products.start, tupleStep: tupleStep,
                    tileStep: tileStep, vectors: 2, tiles: tiles, bias: bias.start, rectifies: !pools, pools: pools,
                    output: output.start, rowStride: m * tiles * 32, columnStride: 32, rows: m - cut,
                    columns: m * tiles - cut, scratch: scratch.start, powers: powers.start))
            report("transformOutput", m, shape.kernel, p, tiles, pools ? 1 : 0, cut, of: output)
        }
        guard shape.fitsFewChannels else { continue }
        // Up to 3 pixels behind a row are read.
        let narrow = Buffer(t * (columns + 3) * 4, seed: 10)
        let transformed = Buffer(tiles * p * p * 4, seed: nil)
        kernels.transformNarrowInput(
            InputTransformArguments(
                shape: shape, input: narrow.start, rowStride: (columns + 3) * 4, columnStride: 4, vectors: 0,
                tiles: tiles, output: transformed.start, tupleStep: 4, tileStep: p * p * 4, scratch: scratch.start,
                coefficients: coefficients.start))
        report("transformNarrowInput", m, shape.kernel, tiles, of: transformed)
        for channels in [1, 3] {
            let weights = Buffer(p * p * channels * 16, seed: 11)
            let output = Buffer(m * m * tiles * 16, seed: nil)
            kernels.transformOutput(
                OutputTransformArguments(
                    shape: shape, channels: channels, weights: weights.start, input: transformed.start, tupleStep: 4,
                    tileStep: p * p * 4, vectors: 1, tiles: tiles, bias: bias.start, rectifies: true, pools: false,
                    output: output.start, rowStride: m * tiles * 16, columnStride: 16, rows: m, columns: m * tiles,
                    scratch: scratch.start, powers: powers.start))
            report("transformOutput", m, shape.kernel, tiles, channels, of: output)
        }
    }
}

private func pools(_ kernels: KernelTable) {
    let input = Buffer(9 * 7 * 32, seed: 12)
    let map = MapView(address: input.start, height: 9, width: 7, rowStride: 7 * 32, columnStride: 32)
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1)] {
        let (height, width) = ((9 + 2 * padding - kernel) / stride + 1, (7 + 2 * padding - kernel) / stride + 1)
        let output = Buffer(height * width * 32, seed: nil)
        kernels.maxPool(
            PoolArguments(
                input: map,
                output: MapView(
                    address: output.start, height: height, width: width, rowStride: width * 32, columnStride: 32),
                channels: 32, kernelHeight: kernel, kernelWidth: kernel, strideHeight: stride, strideWidth: stride,
                paddingHeight: padding, paddingWidth: padding))
        report("maxPool", kernel, stride, padding, of: output)
    }
    let mean = Buffer(32, seed: nil)
    kernels.meanPool(MeanArguments(input: map, output: mean.start, channels: 32))
    report("meanPool", of: mean)
}

private func transform(_ kernels: KernelTable, _ border: PixelBorder, channels: Int) {
    let (height, width) = (23, 29)
    let source = Buffer(height * width * channels, seed: 13)
    for index in 0..<source.count { source.start[index] = abs(source.start[index]) }
    let (scale, offset) = (Buffer(16, seed: 14), Buffer(16, seed: 15))
    let step = channels > 4 ? 16 : 4
    for isBytes in [false, true] {
        for hasColors in [false, true] where channels == 3 || !hasColors {
            let output = Buffer(16 * 16 * step, seed: nil)
            let curve = ColorChange.Curve(power: 1.7, factor: 0.9, offset: 0.03)
            kernels.transformPatch(
                TransformationArguments(
                    source: UnsafeRawPointer(source.start), isBytes: isBytes, height: height, width: width,
                    rowPixels: width, channels: channels, border: border,
                    map: AffineMap(
                        column: 9, row: 4, columnFraction: 0.3, rowFraction: 0.8, columnX: 1.1, columnY: -0.4,
                        rowX: 0.35, rowY: 0.9),
                    contrast: hasColors
                        ? (
                            SIMD4(1.1, -0.05, 0.02, 0.01), SIMD4(0.03, 0.9, 0.04, -0.02), SIMD4(-0.01, 0.06, 1.2, 0)
                        ) : nil,
                    color: hasColors ? ColorChange(saturation: curve, value: curve, hue: 1.3) : nil,
                    output: MapView(
                        address: output.start, height: 16, width: 16, rowStride: 16 * step, columnStride: step),
                    scale: scale.start, offset: offset.start))
            report("transformPatch", channels, isBytes ? 1 : 0, hasColors ? 1 : 0, of: output)
        }
    }
}
