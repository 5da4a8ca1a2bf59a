import KernelInterface

/// A Winograd algorithm's transforms, generated from its points by the Toom–Cook construction.
///
/// An m-output correlation with r taps is the transpose of a polynomial product, which t = m + r − 1 values determine:
/// at t − 1 finite points and at ∞ (Blahut 2010, section 5.4; Lavin and Gray 2016, section 4.1). Points come in pairs
/// ±a, which lets the transforms share their even and odd halves, and near 1, where powers stay small: the error of an
/// algorithm is that of its points.
struct WinogradAlgorithm: Sendable {
    let shape: WinogradShape
    /// a_1 … a_n: with −a_1 … −a_n, 0 and ∞ all points.
    let points: [Double]
    /// G [t][r]: the kernel's polynomial at each point, over the product of that point's distances to the others.
    private let weightMatrix: [Double]

    init(_ shape: WinogradShape) {
        self.shape = shape
        let points: [Double] =
            switch shape.pairs {
            case 1: [1]
            case 2: [1, 2]
            case 3: [1, 2, 0.5]
            default: [1, 9.0 / 4, 4.0 / 9, 3.0 / 2, 2.0 / 3]
            }
        self.points = points
        let finite: [Double] = [0] + points.flatMap { [$0, -$0] }
        weightMatrix =
            finite.flatMap { point in
                let distances = finite.reduce(1) { $1 == point ? $0 : $0 * (point - $1) }
                return (0..<shape.kernel).map { raised(point, $0) / distances }
            }
            // At infinity a polynomial's value is its leading coefficient.
            + (0..<shape.kernel).map { $0 == shape.kernel - 1 ? 1 : 0 }
    }

    /// As `InputTransformArguments.coefficients` wants them.
    var inputCoefficients: [Float] {
        let squares = points.map { $0 * $0 }
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
    var workCount: Int { shape.inputs * shape.kernel }

    /// Writes G g Gᵀ, the t × t transform of the r × r kernel g, both row-major, in double precision.
    func transform(
        _ kernel: UnsafePointer<Double>, work half: UnsafeMutablePointer<Double>,
        into output: UnsafeMutablePointer<Double>
    ) {
        let r = shape.kernel
        let t = shape.inputs
        weightMatrix.withUnsafeBufferPointer { matrix in
            for x in 0..<t {
                for column in 0..<r {
                    var sum = 0.0
                    for j in 0..<r { sum += matrix[x * r + j] * kernel[j * r + column] }
                    half[x * r + column] = sum
                }
            }
            for x in 0..<t {
                for y in 0..<t {
                    var sum = 0.0
                    for j in 0..<r { sum += half[x * r + j] * matrix[y * r + j] }
                    output[x * t + y] = sum
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
