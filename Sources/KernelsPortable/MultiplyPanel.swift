import CPlatform
import KernelInterface

/// The shape of a register tile, for the compiler: loops over it unroll, and its accumulators live in registers. Filled
/// by closures: the initialiser that repeats an element is generic, and where another file of the module uses it too,
/// the optimiser may keep its specialisation out of line.
private typealias Tile<let rows: Int, let vectors: Int> = InlineArray<rows, InlineArray<vectors, Vector>>

/// Reads weights of one type; a vector of them is `at` vectors from the start.
private protocol WeightReader {
    static func vector(_ weights: UnsafeRawPointer, at index: Int) -> Vector
    static var byteCount: Int { get }
}

private enum Float32Weights: WeightReader {
    static var byteCount: Int { 4 }
    @inline(__always)
    static func vector(_ weights: UnsafeRawPointer, at index: Int) -> Vector {
        weights.loadUnaligned(fromByteOffset: index * 64, as: Vector.self)
    }
}

#if KERNELS_AVX512 || KERNELS_AVX2 || arch(arm64)
    // Lane by lane, which becomes one instruction or a few: the library's conversions of whole vectors are generic, and
    // where the optimiser keeps their specialisation out of line, it is a weak symbol that any module may define.
    private enum Float16Weights: WeightReader {
        static var byteCount: Int { 2 }
        @inline(__always)
        static func vector(_ weights: UnsafeRawPointer, at index: Int) -> Vector {
            let halves = weights.loadUnaligned(fromByteOffset: index * 32, as: SIMD16<Float16>.self)
            var vector = Vector()
            for lane in 0..<16 { vector[lane] = Float(halves[lane]) }
            return vector
        }
    }

    private enum BFloat16Weights: WeightReader {
        static var byteCount: Int { 2 }
        @inline(__always)
        static func vector(_ weights: UnsafeRawPointer, at index: Int) -> Vector {
            let halves = weights.loadUnaligned(fromByteOffset: index * 32, as: SIMD16<UInt16>.self)
            var bits = SIMD16<UInt32>()
            for lane in 0..<16 { bits[lane] = UInt32(halves[lane]) }
            return unsafeBitCast(bits &<< SIMD16(repeating: 16), to: Vector.self)
        }
    }
#endif

/// Where a partial sum of a register tile reads and writes. No more than registers pass on.
private struct Place {
    var input: UnsafePointer<Float>
    var weights: UnsafeRawPointer
    var output: UnsafeMutablePointer<Float>
}

extension PanelArguments {
    /// What a partial sum over these segments begins with; nil where it is added to `output`.
    @inline(__always)
    fileprivate func bias(_ segments: Range<Int>) -> UnsafePointer<Float>? { segments.lowerBound == 0 ? bias : nil }

    /// Whether nothing is added after these segments, and negative results become zero.
    @inline(__always)
    fileprivate func rectifies(_ segments: Range<Int>) -> Bool { rectifies && segments.upperBound == segmentCount }
}

/// Asks for the weights that come later: as far ahead as memory is slow.
@inline(__always)
private func prefetch<Weights: WeightReader>(
    _ type: Weights.Type, _ weights: UnsafeRawPointer, vectors: Int, ahead: Int
) {
    for vector in 0..<vectors { exemplar_prefetch(weights + (ahead + vector * 16 * type.byteCount)) }
}

/// One partial sum of one register tile of rows; `PanelArguments` says what it computes. A tile of few rows consumes
/// weights faster than one of many.
@inline(__always)
private func multiply<let rows: Int, let vectors: Int, Weights: WeightReader>(
    _ tile: Tile<rows, vectors>.Type, _ type: Weights.Type, _ arguments: PanelArguments,
    _ segments: Range<Int>, _ place: Place
) {
    var sums = Tile<rows, vectors> { _ in InlineArray { _ in Vector() } }
    let bias = arguments.bias(segments)
    if let bias {
        for vector in 0..<vectors {
            let start = bias.vector(at: vector * 16)
            for row in 0..<rows { sums[row][vector] = start }
        }
    }
    let step = arguments.inputStep
    var weights = place.weights
    for index in segments {
        let segment = arguments.segments[index]
        var input = place.input + segment.offset
        let end = input + segment.length
        while input < end {
            prefetch(type, weights, vectors: vectors, ahead: rows < 4 ? 8192 : 4096)
            var factors = InlineArray<vectors, Vector> { _ in Vector() }
            for vector in 0..<vectors { factors[vector] = type.vector(weights, at: vector) }
            for row in 0..<rows {
                let value = Vector(repeating: input[row * step])
                for vector in 0..<vectors { sums[row][vector].accumulate(value, factors[vector]) }
            }
            input += 1
            weights += vectors * 16 * type.byteCount
        }
    }

    // Loops as small as these are unrolled before the compiler looks for what can stay in registers.
    if bias == nil {
        var output = place.output
        for row in 0..<rows {
            for vector in 0..<vectors { sums[row][vector] += output.vector(at: vector * 16) }
            output += arguments.outputStep
        }
    }
    if arguments.rectifies(segments) {
        for row in 0..<rows {
            for vector in 0..<vectors { sums[row][vector] = sums[row][vector].maximum(Vector()) }
        }
    }
    for row in 0..<rows {
        for vector in 0..<vectors {
            place.output.store(sums[row][vector], at: row * arguments.outputStep + vector * 16)
        }
    }
}

/// One partial sum of one row of several panels.
@inline(__always)
private func multiplyRow<let panels: Int, let vectors: Int, Weights: WeightReader>(
    _ tile: Tile<panels, vectors>.Type, _ type: Weights.Type, _ arguments: PanelArguments,
    _ segments: Range<Int>, _ place: Place
) {
    var sums = Tile<panels, vectors> { _ in InlineArray { _ in Vector() } }
    let bias = arguments.bias(segments)
    if let bias {
        for vector in 0..<vectors {
            for panel in 0..<panels { sums[panel][vector] = bias.vector(at: (panel * vectors + vector) * 16) }
        }
    }
    let step = arguments.weightPanelStep * type.byteCount
    var weights = place.weights
    for index in segments {
        let segment = arguments.segments[index]
        var input = place.input + segment.offset
        let end = input + segment.length
        while input < end {
            let value = Vector(repeating: input[0])
            for panel in 0..<panels {
                let line = weights + panel * step
                prefetch(type, line, vectors: vectors, ahead: 8192 / panels)
                for vector in 0..<vectors { sums[panel][vector].accumulate(value, type.vector(line, at: vector)) }
            }
            input += 1
            weights += vectors * 16 * type.byteCount
        }
    }

    // Loops as small as these are unrolled before the compiler looks for what can stay in registers.
    if bias == nil {
        var output = place.output
        for panel in 0..<panels {
            for vector in 0..<vectors { sums[panel][vector] += output.vector(at: vector * 16) }
            output += vectors * 16
        }
    }
    if arguments.rectifies(segments) {
        for panel in 0..<panels {
            for vector in 0..<vectors { sums[panel][vector] = sums[panel][vector].maximum(Vector()) }
        }
    }
    for panel in 0..<panels {
        for vector in 0..<vectors {
            place.output.store(sums[panel][vector], at: panel * vectors * 16 + vector * 16)
        }
    }
}

@inline(__always)
private func multiply<let vectors: Int, Weights: WeightReader>(
    _ columns: InlineArray<vectors, Vector>.Type, _ type: Weights.Type, rows: Int, _ arguments: PanelArguments,
    _ segments: Range<Int>, _ place: Place
) {
    switch rows {
    case 1: multiply(Tile<1, vectors>.self, type, arguments, segments, place)
    case 2: multiply(Tile<2, vectors>.self, type, arguments, segments, place)
    #if KERNELS_AVX512 || KERNELS_AVX2 || arch(arm64)
        case 3: multiply(Tile<3, vectors>.self, type, arguments, segments, place)
        case 4: multiply(Tile<4, vectors>.self, type, arguments, segments, place)
        case 5: multiply(Tile<5, vectors>.self, type, arguments, segments, place)
    #endif
    #if KERNELS_AVX512 || KERNELS_AVX2
        case 6: multiply(Tile<6, vectors>.self, type, arguments, segments, place)
    #endif
    #if KERNELS_AVX512
        case 7: multiply(Tile<7, vectors>.self, type, arguments, segments, place)
        case 8: multiply(Tile<8, vectors>.self, type, arguments, segments, place)
        case 9: multiply(Tile<9, vectors>.self, type, arguments, segments, place)
        case 10: multiply(Tile<10, vectors>.self, type, arguments, segments, place)
        case 11: multiply(Tile<11, vectors>.self, type, arguments, segments, place)
        case 12: multiply(Tile<12, vectors>.self, type, arguments, segments, place)
    #endif
    default: break  // Tiles have 1 … RegisterTile.rows.
    }
}

@inline(__always)
private func multiply<let vectors: Int, Weights: WeightReader>(
    _ columns: InlineArray<vectors, Vector>.Type, _ type: Weights.Type, _ arguments: PanelArguments
) {
    // Tiles of nearly equal height: none is left with a single row where two could share.
    let tiles = (arguments.rows + RegisterTile.rows - 1) / RegisterTile.rows
    let height = arguments.rows / max(tiles, 1)
    let higher = arguments.rows - tiles * height
    for tuple in 0..<arguments.tuples {
        var weights = arguments.weights + tuple * arguments.weightTupleStep * type.byteCount
        var first = 0
        while first < arguments.segmentCount {
            var end = first
            var length = 0
            repeat {
                length += arguments.segments[end].length
                end += 1
            } while !arguments.segments[end - 1].endsSum
            var place = Place(
                input: arguments.input + tuple * arguments.inputTupleStep, weights: weights,
                output: arguments.output + tuple * arguments.outputTupleStep)
            if arguments.panels == RegisterTile.panels {
                multiplyRow(RegisterTile.Panels<vectors>.self, type, arguments, first..<end, place)
            } else {
                for tile in 0..<tiles {
                    let rows = tile < higher ? height + 1 : height
                    multiply(columns, type, rows: rows, arguments, first..<end, place)
                    place.input += rows * arguments.inputStep
                    place.output += rows * arguments.outputStep
                }
            }
            weights += length * vectors * 16 * type.byteCount
            first = end
        }
    }
}

@inline(__always)
private func multiply<Weights: WeightReader>(_ type: Weights.Type, _ arguments: PanelArguments) {
    #if KERNELS_AVX512
        if arguments.vectors == 2 {
            multiply(InlineArray<2, Vector>.self, type, arguments)
            return
        }
    #endif
    multiply(InlineArray<1, Vector>.self, type, arguments)
}

/// One panel of output channels; see `PanelArguments`.
@inline(never)
func multiplyPanel(_ arguments: PanelArguments) {
    switch arguments.weightType {
    case .float32: multiply(Float32Weights.self, arguments)
    #if KERNELS_AVX512 || KERNELS_AVX2 || arch(arm64)
        case .float16: multiply(Float16Weights.self, arguments)
        case .bfloat16: multiply(BFloat16Weights.self, arguments)
    #else
        case .float16, .bfloat16: break  // Not packed so: `KernelTable.takesHalfWeights`.
    #endif
    }
}
