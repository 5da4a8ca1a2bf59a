import Glibc

/// A posterior over exemplars that is fitted to draws of their representations: a mixture of Gaussians of one width
/// around each exemplar's draws (Parzen 1962), or around their mean alone.
///
///     q(n | z) = Σ_r exp(−‖z − z_nr‖² / w) / Σ_m Σ_r exp(−‖z − z_mr‖² / w)
///
/// Any q that was not fitted on the draws it is judged by gives a lower bound on I(x; z): ln M + E ln q.
struct FittedPosterior: Sendable {
    /// [exemplar][draw][lane] of `stride` floats a point, padded with zeros.
    private let centers: [Float]
    private let centersPerExemplar: Int
    private let exemplars: Int
    private let stride: Int
    /// w, in squared units of the representation.
    private(set) var width = 1.0

    /// Around every draw.
    init(draws: RepresentationDraws) {
        centers = draws.values
        centersPerExemplar = draws.count
        exemplars = draws.exemplars
        stride = draws.stride
    }

    /// Around the mean of each exemplar's draws.
    init(meansOf draws: RepresentationDraws) {
        centers = (0..<draws.exemplars).flatMap { draws.center(of: $0).map { Float($0) } }
        centersPerExemplar = 1
        exemplars = draws.exemplars
        stride = draws.stride
    }

    /// Squared distances of one draw from every centre, [exemplar][centre].
    private func distances(of draw: UnsafePointer<Float>) -> [Double] {
        centers.withUnsafeBufferPointer { centers in
            guard let base = centers.baseAddress else { return [] }
            return (0..<exemplars * centersPerExemplar).map { center in
                let center = UnsafeRawPointer(base + center * stride)
                var sum = SIMD16<Float>.zero
                for lane in Swift.stride(from: 0, to: stride, by: 16) {
                    let difference =
                        center.loadUnaligned(fromByteOffset: 4 * lane, as: SIMD16<Float>.self)
                        - UnsafeRawPointer(draw + lane).loadUnaligned(as: SIMD16<Float>.self)
                    sum += difference * difference
                }
                return Double(sum.sum())
            }
        }
    }

    /// ln Σ_r exp(−‖z − z_nr‖² / w) of one draw for each exemplar n: the logits of q.
    func logDensities(of draw: [Float]) -> [Double] {
        let draw = draw + [Float](repeating: 0, count: max(stride - draw.count, 0))
        let distances = draw.withUnsafeBufferPointer { draw in draw.baseAddress.map(distances(of:)) ?? [] }
        return Swift.stride(from: 0, to: distances.count, by: centersPerExemplar).map { start in
            let own = distances[start..<start + centersPerExemplar]
            let least = own.reduce(.infinity, min)
            return log(own.reduce(0) { $0 + exp((least - $1) / width) }) - least / width
        }
    }

    /// ln q at `exemplar`, for each width.
    private func logProbabilities(of exemplar: Int, at distances: [Double], widths: [Double]) -> [Double] {
        let least = distances.reduce(.infinity, min)
        let own = distances[exemplar * centersPerExemplar..<(exemplar + 1) * centersPerExemplar]
        let leastOwn = own.reduce(.infinity, min)
        return widths.map { width in
            // Each sum around its own greatest term, so that neither is ever ln 0.
            let all = distances.reduce(0) { $0 + exp((least - $1) / width) }
            let mine = own.reduce(0) { $0 + exp((leastOwn - $1) / width) }
            return min(0, (least - leastOwn) / width + log(mine) - log(all))
        }
    }

    /// The exemplars' own ln q for each width, the mean over their draws: [exemplar][width].
    private func scores(
        _ draws: RepresentationDraws, widths: [Double], threads: Int, unit: String
    ) throws(CommandError) -> [[Double]] {
        try parallelMap(draws.exemplars, threads: threads, unit: unit) {
        } _: { exemplar, _ in
            draws.values.withUnsafeBufferPointer { values in
                var rows: [[Double]] = []
                for draw in 0..<draws.count {
                    guard let base = values.baseAddress else { break }
                    let distances = distances(of: base + (exemplar * draws.count + draw) * draws.stride)
                    rows.append(logProbabilities(of: exemplar, at: distances, widths: widths))
                }
                return widths.indices.map { width in mean(rows.lazy.map { $0[width] }) }
            }
        }
    }

    /// Chooses the width with the greatest bound on `draws`, which must be other ones than those around which the
    /// Gaussians lie, and than those that will judge them.
    ///
    /// - Returns: E ln q there, the greatest of all widths.
    @discardableResult
    mutating func chooseWidth(on draws: RepresentationDraws, threads: Int) throws(CommandError) -> Double {
        let scale = draws.meanSquare
        guard scale > 0 else { return -log(Double(exemplars)) }
        let widths = (-16...2).map { scale * exp2(Double($0)) }
        let scores = try scores(draws, widths: widths, threads: threads, unit: "exemplars (width)")
        let bounds = widths.indices.map { width in mean(scores.lazy.map { $0[width] }) }
        guard let best = bounds.indices.max(by: { bounds[$0] < bounds[$1] }) else { return -.infinity }
        width = widths[best]
        return bounds[best]
    }

    /// ln M + E ln q on draws of the same exemplars, by exemplar.
    func bound(on draws: RepresentationDraws, threads: Int) throws(CommandError) -> MeanInterval {
        let scores = try scores(draws, widths: [width], threads: threads, unit: "exemplars (fitted)")
        return MeanInterval(scores.map { $0[0] }).adding(log(Double(exemplars)))
    }
}
