import KernelInterface

/// The points of a Winograd algorithm as the input transform needs them; see `InputTransformArguments`.
private struct InputCoefficients<let pairs: Int> {
    let base: UnsafePointer<Float>

    @inline(__always)
    func point(_ pair: Int) -> Vector { Vector(repeating: base[pair]) }
    @inline(__always)
    func outer(_ power: Int) -> Vector { Vector(repeating: base[pairs + power]) }
    @inline(__always)
    func inner(_ pair: Int, _ power: Int) -> Vector {
        Vector(repeating: base[2 * pairs + 1 + pair * pairs + power])
    }
}

/// Bᵀ d of one column: `read` gives d_j, `write` takes the result's elements.
@inline(__always)
private func transform<let pairs: Int>(
    _ coefficients: InputCoefficients<pairs>, read: (Int) -> Vector, write: (Int, Vector) -> Void
) {
    // The leading coefficient of each polynomial is 1.
    var first = read(2 * pairs)
    var last = read(2 * pairs + 1)
    for power in 0..<pairs {
        first.accumulate(coefficients.outer(power), read(2 * power))
        last.accumulate(coefficients.outer(power), read(2 * power + 1))
    }
    write(0, first)
    for pair in 0..<pairs {
        var even = read(2 * pairs)
        var odd = read(2 * pairs - 1)
        for power in 0..<pairs - 1 {
            even.accumulate(coefficients.inner(pair, power), read(2 * power + 2))
            odd.accumulate(coefficients.inner(pair, power), read(2 * power + 1))
        }
        let point = coefficients.point(pair)
        write(2 * pair + 1, even.adding(point, odd))
        write(2 * pair + 2, even.subtracting(point, odd))
    }
    write(2 * pairs + 1, last)
}

@inline(__always)
private func transformTiles<let pairs: Int, let inputs: Int>(
    _ tile: InlineArray<inputs, InlineArray<pairs, Vector>>.Type, _ arguments: InputTransformArguments
) {
    let coefficients = InputCoefficients<pairs>(base: arguments.coefficients)
    let rowStride = arguments.rowStride
    let columnStride = arguments.columnStride
    let scratch = arguments.scratch
    let tileColumns = arguments.shape.outputs * columnStride
    for tile in 0..<arguments.tiles {
        for vector in 0..<arguments.vectors {
            let source = arguments.input + (tile * tileColumns + vector * 16)
            let target = arguments.output + (tile * arguments.tileStep + vector * 16)
            for column in 0..<inputs {
                let top = source + column * columnStride
                transform(coefficients) {
                    top.vector(at: $0 * rowStride)
                } write: {
                    scratch.store($1, at: ($0 * inputs + column) * 16)
                }
            }
            for row in 0..<inputs {
                let line = scratch + row * inputs * 16
                let output = target + row * inputs * arguments.tupleStep
                transform(coefficients) {
                    line.vector(at: $0 * 16)
                } write: {
                    output.store($1, at: $0 * arguments.tupleStep)
                }
            }
        }
    }
}

/// Tiles into the space of their products; see `InputTransformArguments`.
@inline(never)
func transformInput(_ arguments: InputTransformArguments) {
    switch arguments.shape.pairs {
    case 1: transformTiles(InlineArray<4, InlineArray<1, Vector>>.self, arguments)
    case 2: transformTiles(InlineArray<6, InlineArray<2, Vector>>.self, arguments)
    case 3: transformTiles(InlineArray<8, InlineArray<3, Vector>>.self, arguments)
    case 5: transformTiles(InlineArray<12, InlineArray<5, Vector>>.self, arguments)
    default: break  // WinogradShape has no others.
    }
}
