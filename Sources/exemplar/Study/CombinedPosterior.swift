import ExemplarNetwork
import Glibc
import Transformations

/// The head's q made sharper or softer, times a power of one that is fitted to the embedding:
///
///     ln q(n | z) = β l_n(z) + γ k_n(z) + constant
///
/// with the head's logits l and those of the kernel posterior k. β = 1 and γ = 0 is the head itself, so that what this
/// gains over it, on draws that chose neither, is a measure of how loose the linear head is.
struct CombinedPosterior: Sendable {
    /// β.
    var head: Double
    /// γ.
    var kernel: Double

    struct Bound: Sendable {
        var posterior: CombinedPosterior
        /// ln M + E ln q.
        var bound: MeanInterval
        /// What it gains over the head on the same draws, exemplar by exemplar.
        var gain: MeanInterval
    }

    /// The head as it is.
    static let head = CombinedPosterior(head: 1, kernel: 0)

    /// What is tried.
    static let grid = [0.5, 0.7, 0.85, 1, 1.2, 1.5, 2].flatMap { head in
        [0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1].map { CombinedPosterior(head: head, kernel: $0) }
    }

    func logits(_ head: [Double], _ kernel: [Double]) -> Logits {
        Logits(zip(head, kernel).map { self.head * $0 + self.kernel * $1 })
    }
}

extension Study {
    /// The bound by the best of the grid on the draws for calibration, judged on others.
    func combinedBound(_ layer: FittedLayer, layer index: Int) throws(CommandError) -> CombinedPosterior.Bound {
        let grid = CombinedPosterior.grid
        let chosen = try scores(of: grid, layer, index, LayerBounds.calibrating, of: .calibration)
        let bounds = grid.indices.map { place in mean(chosen.lazy.map { $0[place] }) }
        let best = bounds.indices.max { bounds[$0] < bounds[$1] }.map { grid[$0] } ?? .head
        let judged = try scores(of: [best, .head], layer, index, LayerBounds.judging, of: .evaluation)
        return CombinedPosterior.Bound(
            posterior: best,
            bound: MeanInterval(judged.map { $0[0] }).adding(log(Double(exemplars.contexts.count))),
            gain: MeanInterval(judged.map { $0[0] - $0[1] }))
    }

    /// Each exemplar's own ln q by each posterior, the mean over its draws.
    private func scores(
        of posteriors: [CombinedPosterior], _ layer: FittedLayer, _ index: Int, _ count: Int, of stream: Stream
    ) throws(CommandError) -> [[Double]] {
        let (head, rows) = (try linearHead(), try headRows())
        let features = PooledFeatures(model)
        return try map(unit: "exemplars (combined)") { [self] exemplar, embedder in
            let draws = draws(count, of: stream, exemplar: exemplar)
            let logits = logits(of: exemplar, draws, head, embedder).map { $0.restricted(to: rows).values }
            var densities: [[Double]] = []
            embedder.forEachRow(
                of: exemplars.contexts[exemplar], draws, border: sampler.ranges.border, features.selection
            ) { densities.append(layer.logits(of: features.values(of: index, in: $1))) }
            return posteriors.map { posterior in
                mean(
                    draws.indices.lazy.map {
                        posterior.logits(logits[$0], densities[$0]).logProbability(of: exemplar)
                    })
            }
        }
    }
}
