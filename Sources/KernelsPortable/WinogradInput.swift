import KernelInterface

/// n, t and p of a `WinogradShape`, for the compiler.
private struct Shape<let pairs: Int, let inputs: Int, let products: Int> {}

/// The points of a Winograd algorithm as the input transform needs them; see `InputTransformArguments`. Values, so that
/// they may stay in registers: what is stored through one pointer might change what another points to.
private struct InputCoefficients<let pairs: Int> {
    private var points = InlineArray<pairs, Vector>(repeating: Vector())
    private var outers = InlineArray<pairs, Vector>(repeating: Vector())
    private var inners = InlineArray<pairs, InlineArray<pairs, Vector>>(repeating: InlineArray(repeating: Vector()))

    @inline(__always)
    init(base: UnsafePointer<Float>) {
        for pair in 0..<pairs {
            points[pair] = Vector(repeating: base[pair])
            outers[pair] = Vector(repeating: base[pairs + pair])
            for power in 0..<pairs - 1 {
                inners[pair][power] = Vector(repeating: base[2 * pairs + 1 + pair * pairs + power])
            }
        }
    }

    @inline(__always)
    func point(_ pair: Int) -> Vector { points[pair] }
    @inline(__always)
    func outer(_ power: Int) -> Vector { outers[power] }
    @inline(__always)
    func inner(_ pair: Int, _ power: Int) -> Vector { inners[pair][power] }
}

/// Bᵀ d of one column: `read` gives d_j, `write` takes the result's elements.
@inline(__always)
private func transform<let pairs: Int, let inputs: Int, let products: Int>(
    _ shape: Shape<pairs, inputs, products>.Type, _ coefficients: InputCoefficients<pairs>,
    read: (Int) -> Vector, write: (Int, Vector) -> Void
) {
    #if KERNELS_AVX512
        // All at first: behind a store, what memory holds would have to be read again for each use. A longer column
        // leaves the coefficients no registers.
        let column = InlineArray<inputs, Vector> { read($0) }
        func element(_ index: Int) -> Vector { inputs <= 8 ? column[index] : read(index) }
    #else
        func element(_ index: Int) -> Vector { read(index) }
    #endif
    // The leading coefficient of each polynomial is 1.
    var first = element(2 * pairs)
    var last = element(2 * pairs + 1)
    for power in 0..<pairs {
        first.accumulate(coefficients.outer(power), element(2 * power))
        last.accumulate(coefficients.outer(power), element(2 * power + 1))
    }
    write(0, first)
    for pair in 0..<pairs {
        var even = element(2 * pairs)
        var odd = element(2 * pairs - 1)
        for power in 0..<pairs - 1 {
            even.accumulate(coefficients.inner(pair, power), element(2 * power + 2))
            odd.accumulate(coefficients.inner(pair, power), element(2 * power + 1))
        }
        if products > inputs, pair == 0 {
            write(1, even + odd)
            write(2, odd)
            write(3, even)
        } else {
            let point = coefficients.point(pair)
            let place = 2 * pair + 1 + (products - inputs)
            write(place, even.accumulating(point, odd))
            write(place + 1, even.subtractingProduct(point, odd))
        }
    }
    write(products - 1, last)
}

@inline(__always)
private func transformTiles<let pairs: Int, let inputs: Int, let products: Int>(
    _ shape: Shape<pairs, inputs, products>.Type, _ arguments: InputTransformArguments
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
                transform(shape, coefficients) {
                    top.vector(at: $0 * rowStride)
                } write: {
                    scratch.store($1, at: ($0 * inputs + column) * 16)
                }
            }
            for row in 0..<products {
                let line = scratch + row * inputs * 16
                let output = target + row * products * arguments.tupleStep
                transform(shape, coefficients) {
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
    switch arguments.shape {
    case .f2k3: transformTiles(Shape<1, 4, 4>.self, arguments)
    case .f4k3, .f2k5: transformTiles(Shape<2, 6, 6>.self, arguments)
    case .f4k5: transformTiles(Shape<3, 8, 8>.self, arguments)
    case .f8k5: transformTiles(Shape<5, 12, 12>.self, arguments)
    case .f8k5i: transformTiles(Shape<5, 12, 13>.self, arguments)
    }
}

extension UnsafeMutablePointer<Float> {
    /// Stores the first `count` quarters of a vector `step` apart.
    @inline(__always)
    fileprivate func storeQuarters(_ vector: Vector, at offset: Int, step: Int, count: Int) {
        let quarters = unsafeBitCast(vector, to: (Quarter, Quarter, Quarter, Quarter).self)
        let target = UnsafeMutableRawPointer(self + offset)
        target.storeBytes(of: quarters.0, as: Quarter.self)
        if count > 1 { (target + 4 * step).storeBytes(of: quarters.1, as: Quarter.self) }
        if count > 2 { (target + 8 * step).storeBytes(of: quarters.2, as: Quarter.self) }
        if count > 3 { (target + 12 * step).storeBytes(of: quarters.3, as: Quarter.self) }
    }
}

private typealias Quarter = SIMD4<Float>

@inline(__always)
private func transformStrips<let pairs: Int, let inputs: Int, let products: Int>(
    _ shape: Shape<pairs, inputs, products>.Type, _ arguments: InputTransformArguments
) {
    let coefficients = InputCoefficients<pairs>(base: arguments.coefficients)
    let outputs = arguments.shape.outputs
    let rowStride = arguments.rowStride
    let tupleStep = arguments.tupleStep
    let scratch = arguments.scratch
    // Four rows of a column at a time.
    let groups = (products + 3) / 4
    let columnStep = groups * 16
    for start in stride(from: 0, to: arguments.tiles, by: WinogradShape.stripTiles) {
        let tiles = min(arguments.tiles - start, WinogradShape.stripTiles)
        let source = arguments.input + start * outputs * 4
        // Down the columns of the whole strip, four pixels at a time.
        for column in stride(from: 0, to: outputs * (tiles - 1) + inputs, by: 4) {
            let top = source + column * 4
            transform(shape, coefficients) {
                top.vector(at: $0 * rowStride)
            } write: {
                scratch.storeQuarters($1, at: column * columnStep + $0 * 4, step: columnStep, count: 4)
            }
        }
        // Along the rows of each tile, four rows at a time.
        for tile in 0..<tiles {
            for group in 0..<groups {
                let line = scratch + (tile * outputs * columnStep + group * 16)
                let output =
                    arguments.output + ((start + tile) * arguments.tileStep + group * 4 * products * tupleStep)
                transform(shape, coefficients) {
                    line.vector(at: $0 * columnStep)
                } write: {
                    output.storeQuarters(
                        $1, at: $0 * tupleStep, step: products * tupleStep, count: products - group * 4)
                }
            }
        }
    }
}

/// Tiles of the network's few input channels; see `InputTransformArguments`.
@inline(never)
func transformNarrowInput(_ arguments: InputTransformArguments) {
    switch arguments.shape {
    case .f2k3: transformStrips(Shape<1, 4, 4>.self, arguments)
    case .f4k3, .f2k5: transformStrips(Shape<2, 6, 6>.self, arguments)
    case .f4k5: transformStrips(Shape<3, 8, 8>.self, arguments)
    case .f8k5, .f8k5i: break  // `WinogradShape.fitsFewChannels` is false.
    }
}
