import KernelInterface

/// Aᵀ m of one column: `read` gives m_j, `write` takes the result's elements; see `OutputTransformArguments`.
@inline(__always)
private func transform<let pairs: Int, let outputs: Int>(
    _ shape: InlineArray<pairs, InlineArray<outputs, Vector>>.Type, _ powers: UnsafePointer<Float>,
    read: (Int) -> Vector, write: (Int, Vector) -> Void
) {
    // Even powers see the sums of a pair's two elements, odd powers their differences.
    var halves = InlineArray<2, InlineArray<pairs, Vector>>(repeating: InlineArray(repeating: Vector()))
    for pair in 0..<pairs {
        let positive = read(2 * pair + 1)
        let negative = read(2 * pair + 2)
        halves[0][pair] = positive + negative
        halves[1][pair] = positive - negative
    }
    for power in 0..<outputs {
        var sum = halves[power % 2][0] * Vector(repeating: powers[power * pairs])
        for pair in 1..<pairs {
            sum.accumulate(halves[power % 2][pair], Vector(repeating: powers[power * pairs + pair]))
        }
        if power == 0 { sum += read(0) }
        if power == outputs - 1 { sum += read(2 * pairs + 1) }
        write(power, sum)
    }
}

@inline(__always)
private func transformTiles<let pairs: Int, let outputs: Int>(
    _ shape: InlineArray<pairs, InlineArray<outputs, Vector>>.Type, _ arguments: OutputTransformArguments
) {
    let inputs = 2 * pairs + 2
    let tupleStep = arguments.tupleStep
    let powers = arguments.powers
    let half = arguments.scratch
    let whole = half + inputs * outputs * 16
    let rows = min(arguments.rows, outputs)
    let tileColumns = (arguments.pools ? outputs / 2 : outputs) * arguments.columnStride
    for tile in 0..<arguments.tiles {
        let columns = min(arguments.columns - tile * outputs, outputs)
        for vector in 0..<arguments.vectors {
            let source = arguments.input + (tile * arguments.tileStep + vector * 16)
            for column in 0..<inputs {
                let top = source + column * tupleStep
                transform(shape, powers) {
                    top.vector(at: $0 * inputs * tupleStep)
                } write: {
                    half.store($1, at: ($0 * inputs + column) * 16)
                }
            }
            for row in 0..<outputs {
                let line = half + row * inputs * 16
                transform(shape, powers) {
                    line.vector(at: $0 * 16)
                } write: {
                    whole.store($1, at: (row * outputs + $0) * 16)
                }
            }
            let target = arguments.output + (tile * tileColumns + vector * 16)
            // Whole tiles are written by loops that unroll.
            if rows == outputs, columns == outputs {
                write(whole, tileWidth: outputs, arguments, vector, target, rows: outputs, columns: outputs)
            } else {
                write(whole, tileWidth: outputs, arguments, vector, target, rows: rows, columns: columns)
            }
        }
    }
}

/// Writes one vector of channels of a tile's outputs, pooled or not.
@inline(__always)
private func write(
    _ tile: UnsafeMutablePointer<Float>, tileWidth: Int, _ arguments: OutputTransformArguments, _ vector: Int,
    _ target: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
    let bias = arguments.bias.vector(at: vector * 16)
    // The least that may come out; a negative infinity changes nothing.
    let least = Vector(repeating: arguments.rectifies ? 0 : -.infinity)
    let rowStride = arguments.rowStride
    let columnStride = arguments.columnStride
    if arguments.pools {
        for row in 0..<rows / 2 {
            for column in 0..<columns / 2 {
                let block = tile + (2 * row * tileWidth + 2 * column) * 16
                let upper = block.vector(at: 0).maximum(block.vector(at: 16))
                let lower = block.vector(at: tileWidth * 16).maximum(block.vector(at: (tileWidth + 1) * 16))
                target.store(
                    (upper.maximum(lower) + bias).maximum(least), at: row * rowStride + column * columnStride)
            }
        }
    } else {
        for row in 0..<rows {
            for column in 0..<columns {
                target.store(
                    (tile.vector(at: (row * tileWidth + column) * 16) + bias).maximum(least),
                    at: row * rowStride + column * columnStride)
            }
        }
    }
}

/// Tiles back from the space of their products; see `OutputTransformArguments`.
@inline(never)
func transformOutput(_ arguments: OutputTransformArguments) {
    switch arguments.shape {
    case .f2k3: transformTiles(InlineArray<1, InlineArray<2, Vector>>.self, arguments)
    case .f4k3: transformTiles(InlineArray<2, InlineArray<4, Vector>>.self, arguments)
    case .f2k5: transformTiles(InlineArray<2, InlineArray<2, Vector>>.self, arguments)
    case .f4k5: transformTiles(InlineArray<3, InlineArray<4, Vector>>.self, arguments)
    case .f8k5: transformTiles(InlineArray<5, InlineArray<8, Vector>>.self, arguments)
    }
}
