import KernelInterface

/// The shape of a register tile, for the compiler: loops over it unroll, and its accumulators live in registers.
private typealias Tile<let rows: Int, let vectors: Int> = InlineArray<rows, InlineArray<vectors, Vector>>

/// `TileArguments` says what a tile computes.
@inline(__always)
private func multiply<let rows: Int, let vectors: Int>(
    _ tile: Tile<rows, vectors>.Type, _ arguments: TileArguments
) {
    var sums = Tile<rows, vectors>(repeating: InlineArray(repeating: Vector()))
    let output = arguments.output
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
    var weights = arguments.weights
    for index in 0..<arguments.segmentCount {
        let segment = arguments.segments[index]
        var input = arguments.input + segment.offset
        let end = input + segment.length
        while input < end {
            var factors = InlineArray<vectors, Vector>(repeating: Vector())
            for vector in 0..<vectors { factors[vector] = weights.vector(at: vector * 16) }
            for row in 0..<rows {
                let value = Vector(repeating: input[row * step])
                for vector in 0..<vectors { sums[row][vector].accumulate(value, factors[vector]) }
            }
            input += 1
            weights += vectors * 16
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

@inline(__always)
private func multiply<let vectors: Int>(
    _ columns: InlineArray<vectors, Vector>.Type, _ arguments: TileArguments
) {
    switch arguments.rows {
    case 1: multiply(Tile<1, vectors>.self, arguments)
    case 2: multiply(Tile<2, vectors>.self, arguments)
    #if KERNELS_AVX512 || KERNELS_AVX2 || arch(arm64)
        case 3: multiply(Tile<3, vectors>.self, arguments)
        case 4: multiply(Tile<4, vectors>.self, arguments)
        case 5: multiply(Tile<5, vectors>.self, arguments)
    #endif
    #if KERNELS_AVX512 || KERNELS_AVX2
        case 6: multiply(Tile<6, vectors>.self, arguments)
    #endif
    #if KERNELS_AVX512
        case 7: multiply(Tile<7, vectors>.self, arguments)
        case 8: multiply(Tile<8, vectors>.self, arguments)
        case 9: multiply(Tile<9, vectors>.self, arguments)
        case 10: multiply(Tile<10, vectors>.self, arguments)
        case 11: multiply(Tile<11, vectors>.self, arguments)
        case 12: multiply(Tile<12, vectors>.self, arguments)
    #endif
    default: break  // Schedules ask for 1 … RegisterTile.rows and assert it.
    }
}

/// One register tile; see `TileArguments`.
@inline(never)
func multiplyTile(_ arguments: TileArguments) {
    #if KERNELS_AVX512
        if arguments.vectors == 2 {
            multiply(InlineArray<2, Vector>.self, arguments)
            return
        }
    #endif
    multiply(InlineArray<1, Vector>.self, arguments)
}
