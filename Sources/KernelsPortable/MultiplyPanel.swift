import CPlatform
import KernelInterface

/// The shape of a register tile, for the compiler: loops over it unroll, and its accumulators live in registers.
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

#if KERNELS_AVX512 || KERNELS_AVX2
    // Lane by lane, which becomes one instruction: the library's conversions of whole vectors are generic, and where the
    // optimiser keeps their specialisation out of line, it is a weak symbol that any module may define.
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

/// Asks for the weights that come later: as far ahead as memory is slow. A tile of few rows consumes them faster than
/// one of many.
@inline(__always)
private func prefetch(_ weights: UnsafeRawPointer, _ offset: Int, rows: Int) {
    exemplar_prefetch(weights + ((rows < 4 ? 8192 : 4096) + offset))
}

/// One register tile of tuple `tuple`, from row `row` on; `PanelArguments` says what it computes.
@inline(__always)
private func multiply<let rows: Int, let vectors: Int, Weights: WeightReader>(
    _ tile: Tile<rows, vectors>.Type, _ type: Weights.Type, _ arguments: PanelArguments, _ place: Place
) {
    var sums = Tile<rows, vectors>(repeating: InlineArray(repeating: Vector()))
    let output = place.output
    if let bias = arguments.bias {
        for vector in 0..<vectors {
            let start = bias.vector(at: vector * 16)
            for row in 0..<rows { sums[row][vector] = start }
        }
    } else {
        for row in 0..<rows {
            for vector in 0..<vectors {
                sums[row][vector] = output.vector(at: row * arguments.outputStep + vector * 16)
            }
        }
    }

    let step = arguments.inputStep
    var weights = place.weights
    for index in 0..<arguments.segmentCount {
        let segment = arguments.segments[index]
        var input = place.input + segment.offset
        let end = input + segment.length
        while input < end {
            var factors = InlineArray<vectors, Vector>(repeating: Vector())
            for vector in 0..<vectors { prefetch(weights, vector * 16 * type.byteCount, rows: rows) }
            for vector in 0..<vectors { factors[vector] = type.vector(weights, at: vector) }
            for row in 0..<rows {
                let value = Vector(repeating: input[row * step])
                for vector in 0..<vectors { sums[row][vector].accumulate(value, factors[vector]) }
            }
            input += 1
            weights += vectors * 16 * type.byteCount
        }
    }

    if arguments.rectifies {
        for row in 0..<rows {
            for vector in 0..<vectors { sums[row][vector] = sums[row][vector].maximum(Vector()) }
        }
    }
    for row in 0..<rows {
        for vector in 0..<vectors {
            output.store(sums[row][vector], at: row * arguments.outputStep + vector * 16)
        }
    }
}

/// Where a register tile reads and writes.
private struct Place {
    var input: UnsafePointer<Float>
    var weights: UnsafeRawPointer
    var output: UnsafeMutablePointer<Float>
}

@inline(__always)
private func multiply<let vectors: Int, Weights: WeightReader>(
    _ columns: InlineArray<vectors, Vector>.Type, _ type: Weights.Type, rows: Int, _ arguments: PanelArguments,
    _ place: Place
) {
    switch rows {
    case 1: multiply(Tile<1, vectors>.self, type, arguments, place)
    case 2: multiply(Tile<2, vectors>.self, type, arguments, place)
    #if KERNELS_AVX512 || KERNELS_AVX2 || arch(arm64)
        case 3: multiply(Tile<3, vectors>.self, type, arguments, place)
        case 4: multiply(Tile<4, vectors>.self, type, arguments, place)
        case 5: multiply(Tile<5, vectors>.self, type, arguments, place)
    #endif
    #if KERNELS_AVX512 || KERNELS_AVX2
        case 6: multiply(Tile<6, vectors>.self, type, arguments, place)
    #endif
    #if KERNELS_AVX512
        case 7: multiply(Tile<7, vectors>.self, type, arguments, place)
        case 8: multiply(Tile<8, vectors>.self, type, arguments, place)
        case 9: multiply(Tile<9, vectors>.self, type, arguments, place)
        case 10: multiply(Tile<10, vectors>.self, type, arguments, place)
        case 11: multiply(Tile<11, vectors>.self, type, arguments, place)
        case 12: multiply(Tile<12, vectors>.self, type, arguments, place)
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
        var place = Place(
            input: arguments.input + tuple * arguments.inputTupleStep,
            weights: arguments.weights + tuple * arguments.weightTupleStep * type.byteCount,
            output: arguments.output + tuple * arguments.outputTupleStep)
        for tile in 0..<tiles {
            let rows = tile < higher ? height + 1 : height
            multiply(columns, type, rows: rows, arguments, place)
            place.input += rows * arguments.inputStep
            place.output += rows * arguments.outputStep
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
    #if KERNELS_AVX512 || KERNELS_AVX2
        case .float16: multiply(Float16Weights.self, arguments)
        case .bfloat16: multiply(BFloat16Weights.self, arguments)
    #else
        case .float16, .bfloat16: break  // Not packed so: `KernelTable.takesHalfWeights`.
    #endif
    }
}
