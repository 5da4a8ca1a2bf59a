import KernelInterface

/// n, m and p of a `WinogradShape`, for the compiler.
private struct Shape<let pairs: Int, let outputs: Int, let products: Int> {}

/// Elements that go through a transform side by side.
private protocol Element {
    static func + (left: Self, right: Self) -> Self
    static func - (left: Self, right: Self) -> Self
    var negated: Self { get }
    mutating func accumulate(_ x: Self, _ factor: Vector)
}

/// Of one tile.
private struct One: Element {
    var first: Vector

    @inline(__always)
    static func + (left: One, right: One) -> One { One(first: left.first + right.first) }
    @inline(__always)
    static func - (left: One, right: One) -> One { One(first: left.first - right.first) }
    @inline(__always)
    var negated: One { One(first: first * -1) }
    @inline(__always)
    mutating func accumulate(_ x: One, _ factor: Vector) { first.accumulate(x.first, factor) }
}

/// Of two neighbouring tiles.
private struct Two: Element {
    var first: Vector
    var second: Vector

    @inline(__always)
    static func + (left: Two, right: Two) -> Two {
        Two(first: left.first + right.first, second: left.second + right.second)
    }
    @inline(__always)
    static func - (left: Two, right: Two) -> Two {
        Two(first: left.first - right.first, second: left.second - right.second)
    }
    @inline(__always)
    var negated: Two { Two(first: first * -1, second: second * -1) }
    @inline(__always)
    mutating func accumulate(_ x: Two, _ factor: Vector) {
        first.accumulate(x.first, factor)
        second.accumulate(x.second, factor)
    }
}

/// Aᵀ m of one column: `read` gives m_j, `write` takes the result's elements; see `OutputTransformArguments`.
@inline(__always)
private func transform<let pairs: Int, let outputs: Int, let products: Int, E: Element>(
    _ shape: Shape<pairs, outputs, products>.Type, _ powers: UnsafePointer<Float>,
    read: (Int) -> E, write: (Int, E) -> Void
) {
    // Even powers see the sums of a pair's two elements, odd powers their differences; of three elements, at ±i, the
    // real parts of the complex number that they make and of i times it.
    let isImaginary = products > 2 * pairs + 2
    let firstReal = isImaginary ? 2 : 1
    let first = (read(1), read(2))
    var halves = InlineArray<2, InlineArray<pairs, E>>(repeating: InlineArray(repeating: first.0))
    halves[0][0] = isImaginary ? first.0 - first.1 : first.0 + first.1
    halves[1][0] = isImaginary ? read(3) - first.0 : first.0 - first.1
    for pair in 1..<pairs {
        let positive = read(2 * pair + firstReal)
        let negative = read(2 * pair + firstReal + 1)
        halves[0][pair] = positive + negative
        halves[1][pair] = positive - negative
    }
    // Every point to the power of 0 is 1, and additions do not wait for the units that multiply.
    var sum = halves[0][0]
    for pair in 1..<pairs { sum = sum + halves[0][pair] }
    write(0, sum + read(0))
    for power in 1..<outputs {
        // The first point is 1, and so are its powers; or i, whose square changes the sign.
        var sum = halves[power % 2][0]
        if isImaginary, power & 2 != 0 { sum = sum.negated }
        for pair in 1..<pairs {
            sum.accumulate(halves[power % 2][pair], Vector(repeating: powers[power * pairs + pair]))
        }
        if power == outputs - 1 { sum = sum + read(products - 1) }
        write(power, sum)
    }
}

/// Products that the tuple multiplication left, of one tile and one vector of output channels.
private struct StoredProducts {
    let base: UnsafePointer<Float>
    let step: Int

    @inline(__always)
    func element(_ tuple: Int) -> One { One(first: base.vector(at: tuple * step)) }
}

/// Products of two tiles that are made when they are asked for: sums of so few terms that storing them would cost more.
private struct SmallProducts<let channels: Int> {
    let first: UnsafePointer<Float>
    let second: UnsafePointer<Float>
    let weights: UnsafePointer<Float>

    @inline(__always)
    func element(_ tuple: Int) -> Two {
        let first = first + tuple * WinogradShape.narrowStep
        let second = second + tuple * WinogradShape.narrowStep
        let weights = weights + tuple * channels * 16
        let weight = weights.vector(at: 0)
        var products = Two(
            first: Vector(repeating: first[0]) * weight, second: Vector(repeating: second[0]) * weight)
        for channel in 1..<channels {
            let weight = weights.vector(at: channel * 16)
            products.first.accumulate(Vector(repeating: first[channel]), weight)
            products.second.accumulate(Vector(repeating: second[channel]), weight)
        }
        return products
    }
}

/// Transforms the rows of one vector of channels of a tile whose columns are done, and writes it: whole tiles from
/// registers, two rows at a time, as pooling takes them; others through memory.
@inline(__always)
private func transformRows<let pairs: Int, let outputs: Int, let products: Int>(
    _ shape: Shape<pairs, outputs, products>.Type, _ arguments: OutputTransformArguments,
    tile: Int, vector: Int, half: UnsafeMutablePointer<Float>
) {
    let rows = min(arguments.rows, outputs)
    let columns = min(arguments.columns - tile * outputs, outputs)
    let tileColumns = (arguments.pools ? outputs / 2 : outputs) * arguments.columnStride
    let target = arguments.output + (tile * tileColumns + vector * 16)
    let finish = Finish(arguments, vector)
    if rows == outputs, columns == outputs {
        for row in stride(from: 0, to: outputs, by: 2) {
            let upper = transformedRow(shape, arguments.powers, half + row * products * 16)
            let lower = transformedRow(shape, arguments.powers, half + (row + 1) * products * 16)
            if arguments.pools {
                let line = target + row / 2 * arguments.rowStride
                for column in 0..<outputs / 2 {
                    let upper = upper[2 * column].maximum(upper[2 * column + 1])
                    let lower = lower[2 * column].maximum(lower[2 * column + 1])
                    line.store(finish(upper.maximum(lower)), at: column * arguments.columnStride)
                }
            } else {
                let line = target + row * arguments.rowStride
                for column in 0..<outputs {
                    line.store(finish(upper[column]), at: column * arguments.columnStride)
                    line.store(finish(lower[column]), at: arguments.rowStride + column * arguments.columnStride)
                }
            }
        }
    } else {
        let whole = arguments.scratch
        for row in 0..<outputs {
            let values = transformedRow(shape, arguments.powers, half + row * products * 16)
            for column in 0..<outputs { whole.store(values[column], at: (row * outputs + column) * 16) }
        }
        write(whole, tileWidth: outputs, arguments, finish, target, rows: rows, columns: columns)
    }
}

/// One row of a tile's outputs.
@inline(__always)
private func transformedRow<let pairs: Int, let outputs: Int, let products: Int>(
    _ shape: Shape<pairs, outputs, products>.Type, _ powers: UnsafePointer<Float>,
    _ line: UnsafeMutablePointer<Float>
) -> InlineArray<outputs, Vector> {
    var row = InlineArray<outputs, Vector> { _ in Vector() }
    transform(shape, powers) {
        One(first: line.vector(at: $0 * 16))
    } write: {
        row[$0] = $1.first
    }
    return row
}

/// What is done to each output: bias, and the rectifier.
private struct Finish {
    let bias: Vector
    /// The least that may come out; a negative infinity changes nothing.
    let least: Vector

    @inline(__always)
    init(_ arguments: OutputTransformArguments, _ vector: Int) {
        bias = arguments.bias.vector(at: vector * 16)
        least = Vector(repeating: arguments.rectifies ? 0 : -.infinity)
    }

    @inline(__always)
    func callAsFunction(_ output: Vector) -> Vector { (output + bias).maximum(least) }
}

@inline(__always)
private func transformTiles<let pairs: Int, let outputs: Int, let products: Int>(
    _ shape: Shape<pairs, outputs, products>.Type, _ arguments: OutputTransformArguments
) {
    let half = arguments.scratch + outputs * outputs * 16
    for tile in 0..<arguments.tiles {
        for vector in 0..<arguments.vectors {
            let stored = StoredProducts(
                base: arguments.input + (tile * arguments.tileStep + vector * 16), step: arguments.tupleStep)
            for column in 0..<products {
                transform(shape, arguments.powers) {
                    stored.element($0 * products + column)
                } write: {
                    half.store($1.first, at: ($0 * products + column) * 16)
                }
            }
            transformRows(shape, arguments, tile: tile, vector: vector, half: half)
        }
    }
}

@inline(__always)
private func transformTiles<let pairs: Int, let outputs: Int, let products: Int, let channels: Int>(
    _ shape: Shape<pairs, outputs, products>.Type, _ small: SmallProducts<channels>.Type,
    _ arguments: OutputTransformArguments
) {
    let first = arguments.scratch + outputs * outputs * 16
    let second = first + products * outputs * 16
    for tile in stride(from: 0, to: arguments.tiles, by: 2) {
        // The last tile of an odd number stands beside itself.
        let isPair = tile + 1 < arguments.tiles
        for column in 0..<products {
            let input = arguments.input + (tile * arguments.tileStep + column * WinogradShape.narrowStep)
            let small = SmallProducts<channels>(
                first: input, second: isPair ? input + arguments.tileStep : input,
                weights: arguments.weights + column * channels * 16)
            transform(shape, arguments.powers) {
                small.element($0 * products)
            } write: {
                first.store($1.first, at: ($0 * products + column) * 16)
                second.store($1.second, at: ($0 * products + column) * 16)
            }
        }
        transformRows(shape, arguments, tile: tile, vector: 0, half: first)
        if isPair { transformRows(shape, arguments, tile: tile + 1, vector: 0, half: second) }
    }
}

/// Writes one vector of channels of a part of a tile's outputs, pooled or not.
private func write(
    _ tile: UnsafeMutablePointer<Float>, tileWidth: Int, _ arguments: OutputTransformArguments, _ finish: Finish,
    _ target: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
    let rowStride = arguments.rowStride
    let columnStride = arguments.columnStride
    if arguments.pools {
        for row in 0..<rows / 2 {
            for column in 0..<columns / 2 {
                let block = tile + (2 * row * tileWidth + 2 * column) * 16
                let upper = block.vector(at: 0).maximum(block.vector(at: 16))
                let lower = block.vector(at: tileWidth * 16).maximum(block.vector(at: (tileWidth + 1) * 16))
                target.store(finish(upper.maximum(lower)), at: row * rowStride + column * columnStride)
            }
        }
    } else {
        for row in 0..<rows {
            for column in 0..<columns {
                target.store(
                    finish(tile.vector(at: (row * tileWidth + column) * 16)),
                    at: row * rowStride + column * columnStride)
            }
        }
    }
}

@inline(__always)
private func transformOutput<let pairs: Int, let outputs: Int, let products: Int>(
    _ shape: Shape<pairs, outputs, products>.Type, _ arguments: OutputTransformArguments
) {
    switch arguments.channels {
    case 1: transformTiles(shape, SmallProducts<1>.self, arguments)
    case 3: transformTiles(shape, SmallProducts<3>.self, arguments)
    default: transformTiles(shape, arguments)
    }
}

/// Tiles back from the space of their products; see `OutputTransformArguments`.
@inline(never)
func transformOutput(_ arguments: OutputTransformArguments) {
    switch arguments.shape {
    case .f2k3: transformOutput(Shape<1, 2, 4>.self, arguments)
    case .f4k3: transformOutput(Shape<2, 4, 6>.self, arguments)
    case .f2k5: transformOutput(Shape<2, 2, 6>.self, arguments)
    case .f4k5: transformOutput(Shape<3, 4, 8>.self, arguments)
    case .f8k5: transformTiles(Shape<5, 8, 12>.self, arguments)
    case .f8k5i: transformTiles(Shape<5, 8, 13>.self, arguments)
    }
}
