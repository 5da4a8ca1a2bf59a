import Glibc

/// Mean and variance of rows that come one at a time: ĝ_K(x) = (1/K) Σ_k g(T_αk x) with its uncertainty.
///
/// One pass, in double precision, without cancellation (Welford 1962; Knuth, The Art of Computer Programming, volume 2,
/// section 4.2.2). Rows that are all the same give that row, bit for bit, and a variance of exactly 0. The result
/// depends on the order of the rows alone.
public final class RunningMoments {
    public let dimension: Int
    /// Rows so far: K.
    public private(set) var count = 0
    private let means: UnsafeMutablePointer<Double>
    /// Σ (z − mean)² of each dimension.
    private let squares: UnsafeMutablePointer<Double>

    public init(dimension: Int) {
        self.dimension = dimension
        means = .allocate(capacity: max(dimension, 1))
        squares = .allocate(capacity: max(dimension, 1))
    }

    deinit {
        means.deallocate()
        squares.deallocate()
    }

    /// Takes one more row of `dimension` values.
    public func add(_ row: UnsafeBufferPointer<Float>) {
        guard row.count == dimension, let row = row.baseAddress else { return }
        count += 1
        let share = 1 / Double(count)
        for index in 0..<dimension {
            let value = Double(row[index])
            guard count > 1 else {
                means[index] = value
                squares[index] = 0
                continue
            }
            let difference = value - means[index]
            let mean = means[index] + difference * share
            means[index] = mean
            squares[index] += difference * (value - mean)
        }
    }

    /// The mean of one dimension, as float32; 0 without rows.
    public func mean(_ index: Int) -> Float { count > 0 ? Float(means[index]) : 0 }

    /// The standard error of one dimension of the mean, √(Σ̂_dd / K); 0 for a single row.
    public func standardError(_ index: Int) -> Float {
        count > 1 ? Float((squares[index] / Double(count - 1) / Double(count)).squareRoot()) : 0
    }

    /// √(tr Σ̂ / K): the expected distance of the mean from its limit; nil for a single row.
    public var expectedDistance: Double? {
        guard count > 1 else { return nil }
        let trace = (0..<dimension).reduce(0.0) { $0 + squares[$1] } / Double(count - 1)
        return (trace / Double(count)).squareRoot()
    }

    /// The standard error of a dimension, over all dimensions: √(tr Σ̂ / (K · D)); nil for a single row.
    public var standardError: Double? { expectedDistance.map { $0 / Double(max(dimension, 1)).squareRoot() } }

    /// The expected distance over the length of the mean, r = √(tr Σ̂ / K) / ‖mean‖₂: 0 where the rows are all the
    /// same, infinite for other rows around zero, nil for a single row.
    public var relativeError: Double? {
        guard let distance = expectedDistance else { return nil }
        let length = (0..<dimension).reduce(0.0) { $0 + means[$1] * means[$1] }.squareRoot()
        return distance == 0 ? 0 : distance / length
    }
}
