import KernelInterface

/// A Winograd algorithm's transforms, generated from its points by the Toom–Cook construction.
///
/// An m-output correlation with r taps is the transpose of a polynomial product, which t = m + r − 1 values determine:
/// at t − 1 finite points and at ∞ (Blahut 2010, section 5.4; Lavin and Gray 2016, section 4.1). Points come in pairs
/// ±a, which lets the transforms share their even and odd halves, and near 1, where powers stay small: the error of an
/// algorithm is that of its points. The more there are, the closer they stand, and the larger are the products whose
/// differences make the result, unless some leave the real line: ±i are on the unit circle, far from all others
/// (Winograd 1980, over the factor x² + 1; Barabasz and Gregg 2019).
struct WinogradAlgorithm: Sendable {
    let shape: WinogradShape
    /// a_1 … a_n: with −a_1 … −a_n, 0 and ∞ all points. Where `shape.hasImaginaryPair` a_1 stands for i.
    let points: [Double]
    /// G [p][r]: the kernel's polynomial at each point, over the product of that point's distances to the others; for
    /// ±i the three sums of its real and imaginary part that `OutputTransformArguments` names.
    private let weightMatrix: [Double]

    init(_ shape: WinogradShape) {
        self.shape = shape
        points =
            switch shape {
            case .f2k3: [1]
            case .f4k3, .f2k5: [1, 2]
            case .f4k5: [1, 2, 1.0 / 2]
            case .f8k5: [1, 9.0 / 4, 4.0 / 9, 3.0 / 2, 2.0 / 3]
            case .f8k5i: [1, 7.0 / 16, 13.0 / 16, 19.0 / 16, 9.0 / 4]
            }
        let real = shape.hasImaginaryPair ? points.dropFirst() : points[...]
        let finite: [Double] = [0] + real.flatMap { [$0, -$0] }
        var rows = finite.map { point in
            let distances = finite.reduce(shape.hasImaginaryPair ? point * point + 1 : 1) {
                $1 == point ? $0 : $0 * (point - $1)
            }
            return (0..<shape.kernel).map { raised(point, $0) / distances }
        }
        if shape.hasImaginaryPair {
            // The distances of i are i, that from 0, and 2i, that from −i, and one of each real pair. As much comes
            // from −i as from i.
            let distances = real.reduce(-2) { $0 * (-1 - $1 * $1) }
            let realPart = (0..<shape.kernel).map { [2.0, 0, -2, 0][$0 % 4] / distances }
            let imaginaryPart = (0..<shape.kernel).map { [0, 2.0, 0, -2][$0 % 4] / distances }
            let sum = zip(realPart, imaginaryPart).map(+)
            let difference = zip(realPart, imaginaryPart).map(-)
            rows.insert(contentsOf: [realPart, sum, difference], at: 1)
        }
        // At infinity a polynomial's value is its leading coefficient.
        rows.append((0..<shape.kernel).map { $0 == shape.kernel - 1 ? 1 : 0 })
        weightMatrix = rows.flatMap(\.self)
    }

    /// As `InputTransformArguments.coefficients` wants them.
    var inputCoefficients: [Float] {
        var squares = points.map { $0 * $0 }
        if shape.hasImaginaryPair { squares[0] = -1 }
        let inner = points.indices.flatMap { pair in
            product(squares.indices.filter { $0 != pair }.map { squares[$0] })
        }
        return (points + product(squares) + inner).map { Float($0) }
    }

    /// As `OutputTransformArguments.powers` wants them.
    var outputPowers: [Float] {
        (0..<shape.outputs).flatMap { power in points.map { Float(raised($0, power)) } }
    }

    /// Doubles that `transform` works in.
    var workCount: Int { shape.products * shape.kernel }

    /// Writes G g Gᵀ, the p × p transform of the r × r kernel g, both row-major, in double precision.
    func transform(
        _ kernel: UnsafePointer<Double>, work half: UnsafeMutablePointer<Double>,
        into output: UnsafeMutablePointer<Double>
    ) {
        let r = shape.kernel
        let p = shape.products
        weightMatrix.withUnsafeBufferPointer { matrix in
            for x in 0..<p {
                for column in 0..<r {
                    var sum = 0.0
                    for j in 0..<r { sum += matrix[x * r + j] * kernel[j * r + column] }
                    half[x * r + column] = sum
                }
            }
            for x in 0..<p {
                for y in 0..<p {
                    var sum = 0.0
                    for j in 0..<r { sum += half[x * r + j] * matrix[y * r + j] }
                    output[x * p + y] = sum
                }
            }
        }
    }

    /// The coefficients of Π (y − s) for the roots s, the constant one first.
    private func product(_ roots: [Double]) -> [Double] {
        roots.reduce([1]) { polynomial, root in
            var result = [0] + polynomial
            for power in polynomial.indices { result[power] -= root * polynomial[power] }
            return result
        }
    }
}

private func raised(_ base: Double, _ power: Int) -> Double {
    (0..<power).reduce(1) { result, _ in result * base }
}
