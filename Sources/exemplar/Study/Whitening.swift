import Glibc

/// The linear map that makes the spread of draws within exemplars the same in every direction: y = L⁻¹ z, with L Lᵀ the
/// pooled covariance of draws around their exemplar's mean, shrunk towards a sphere. A Gaussian of one width in y is
/// linear discriminant analysis in z (Fisher 1936; shrinkage: Friedman 1989).
struct Whitening: Sendable {
    private let dimension: Int
    /// L, column by column, each from its diagonal down.
    private let columns: [[Double]]

    /// - Parameters:
    ///   - covariance: of draws within exemplars.
    ///   - shrinkage: 0 … 1: the weight of the sphere; with 1 the map only scales.
    /// - Returns: nil where the draws do not differ.
    init?(_ covariance: [[Double]], shrinkage: Double) {
        dimension = covariance.count
        let variance = mean(covariance.lazy.map { $0.first ?? 0 })
        guard variance > 0, variance.isFinite else { return nil }
        var columns = covariance
        for j in columns.indices {
            for i in columns[j].indices { columns[j][i] *= 1 - shrinkage }
            columns[j][0] += shrinkage * variance
        }
        // Cholesky's factorisation, column by column.
        for j in columns.indices {
            guard columns[j][0] > 0 else { return nil }
            let root = columns[j][0].squareRoot()
            let column = columns[j].map { $0 / root }
            columns[j] = column
            for k in column.indices.dropFirst() {
                let factor = column[k]
                columns[j + k].withUnsafeMutableBufferPointer { target in
                    for i in target.indices { target[i] -= factor * column[k + i] }
                }
            }
        }
        self.columns = columns
    }

    /// What the covariance of so many draws takes while it is computed, with a map for each of its shrinkages.
    static func byteCount(dimension: Int, draws: Int, shrinkages: Int) -> Int {
        ((shrinkages + 1) * (dimension + 1) * dimension / 2 + draws * dimension) * MemoryLayout<Double>.stride
    }

    /// The pooled covariance of two or more draws of each exemplar around its mean: the lower triangle, column by
    /// column, each from its diagonal down.
    static func covariance(within draws: RepresentationDraws, threads: Int) throws(CommandError) -> [[Double]] {
        let dimension = draws.dimension
        var deviations: [Double] = []
        deviations.reserveCapacity(draws.exemplars * draws.count * dimension)
        for exemplar in 0..<draws.exemplars {
            let center = draws.center(of: exemplar)
            for draw in 0..<draws.count {
                let row = draws.row(exemplar, draw)
                for index in 0..<dimension { deviations.append(Double(row[row.startIndex + index]) - center[index]) }
            }
        }
        let samples = draws.exemplars * draws.count
        let freedom = Double(max(draws.exemplars * (draws.count - 1), 1))
        return try parallelMap(dimension, threads: threads, unit: "columns of the covariance") {
        } _: { [deviations] j, _ in
            var column = [Double](repeating: 0, count: dimension - j)
            deviations.withUnsafeBufferPointer { deviations in
                column.withUnsafeMutableBufferPointer { column in
                    for sample in 0..<samples {
                        let start = sample * dimension + j
                        let factor = deviations[start]
                        for i in column.indices { column[i] += factor * deviations[start + i] }
                    }
                }
            }
            return column.map { $0 / freedom }
        }
    }

    /// One draw mapped, by forward substitution.
    func applied(to row: some Sequence<Float>) -> [Float] {
        var values = row.prefix(dimension).map(Double.init)
        values.withUnsafeMutableBufferPointer { values in
            for j in values.indices {
                columns[j].withUnsafeBufferPointer { column in
                    values[j] /= column[0]
                    let factor = values[j]
                    for i in 1..<column.count { values[j + i] -= factor * column[i] }
                }
            }
        }
        return values.map { Float($0) }
    }

    /// Every draw mapped.
    func applied(to draws: RepresentationDraws, threads: Int) throws(CommandError) -> RepresentationDraws {
        RepresentationDraws(
            try parallelMap(draws.exemplars, threads: threads, unit: "exemplars (whitening)") {
            } _: { exemplar, _ in
                (0..<draws.count).map { applied(to: draws.row(exemplar, $0)) }
            })
    }
}
