import ExemplarNetwork
import Glibc
import Transformations

/// The variational bound on the information that a representation z has about the exemplar x,
/// I(x; z) ≥ ln N + E ln q(x | z) (Barber and Agakov 2003), with the network's own head as q.
struct BoundMeasurement: Sendable {
    /// Rows of the head: N.
    var classes: Int
    /// Exemplars measured: M.
    var exemplars: Int
    /// Draws for each exemplar.
    var draws: Int
    /// z = g(T_α x).
    var sample: Estimate
    /// z = ĝ_K(x), the mean over K draws: another representation, with an information of its own.
    var averages: [(draws: Int, estimate: Estimate)]
    /// z = g(T_α x) with a single step of T_α, and with none.
    var steps: [(name: String, estimate: Estimate)]
    /// z = g(T_α x), told apart from the exemplars measured alone: against ln M.
    var restricted: Estimate

    /// A bound and how often the most probable exemplar is the right one.
    struct Estimate: Sendable {
        /// In nats.
        var bound: MeanInterval
        /// 0 … 1.
        var top1: MeanInterval
        /// ln of the number of exemplars told apart: what the bound cannot exceed.
        var ceiling: Double
    }
}

extension Study {
    /// The most draws that one ĝ is averaged from.
    static let mostAveraged = 64

    /// Measures the bound on `draws` draws for each exemplar, 2 or more, and on at most 16 for each step alone.
    ///
    /// - Throws: where the patches have no rows of the head, or the head is not linear.
    func bound(draws: Int) throws(CommandError) -> BoundMeasurement {
        let head = try linearHead()
        let rows = try headRows()
        let counts = sequence(first: 1) { $0 * 2 }.prefix { $0 <= min(draws, Self.mostAveraged) }
        let averaged = Array(counts)
        let steps =
            [("none", TransformationSteps())]
            + TransformationSteps.named.filter { sampler.ranges.steps.contains($0.steps) }.map { ($0.name, $0.steps) }
        let scores = try map(unit: "exemplars") { [self] index, embedder in
            let all = DrawScores(draws, averaged: averaged, exemplar: index, rows: rows) { range in
                logits(of: index, self.draws(range, of: .evaluation, exemplar: index), head, embedder)
            }
            return ExemplarScores(
                draws: all,
                steps: steps.map { name, steps in
                    let count = name == "none" ? 1 : min(draws, 16)
                    let draws = self.draws(count, of: .evaluation, exemplar: index, steps: steps)
                    return Score(logits(of: index, draws, head, embedder), row: rows[index])
                })
        }
        let classes = model.description.exemplars ?? 0
        func estimate(among count: Int, _ score: (ExemplarScores) -> Score) -> BoundMeasurement.Estimate {
            BoundMeasurement.Estimate(scores.map(score), among: count)
        }
        return BoundMeasurement(
            classes: classes, exemplars: rows.count, draws: draws,
            sample: estimate(among: classes) { $0.draws.averages[0] },
            averages: averaged.enumerated().map { place, count in
                (count, estimate(among: classes) { $0.draws.averages[place] })
            },
            steps: steps.enumerated().map { place, step in
                (step.0, estimate(among: classes) { $0.steps[place] })
            },
            restricted: estimate(among: rows.count) { $0.draws.restricted })
    }

    /// Each exemplar's own row of the head.
    func headRows() throws(CommandError) -> [Int] {
        guard let rows = exemplars.rows else {
            throw .failure(
                "The patches are not said to be exemplars of \(model.configuration.name): the bound needs the tensor "
                    + "index, the row of the head for each patch, as in a model's exemplars.safetensors. A folder of "
                    + "photographs does for `exemplar invariance`.")
        }
        return rows
    }

    /// The head, whose mean over draws is the head of the mean.
    func linearHead() throws(CommandError) -> LayerSelection {
        guard let head = model.configuration.head, let selection = model.selection(of: [head]),
            case .linear(_, let activation) = model.configuration.layers.last?.kind
        else {
            throw .failure(
                "\(model.configuration.name) has no head in its config.json: the bound needs the layer that tells the "
                    + "exemplars apart.")
        }
        guard activation == .none else {
            throw .failure(
                "The head of \(model.configuration.name) has an activation: its outputs are no logits. Set it to none.")
        }
        return selection
    }

    /// The head's logits for each of `transformations` of one exemplar.
    func logits(
        of index: Int, _ transformations: [Transformation], _ head: LayerSelection, _ embedder: Embedder
    ) -> [Logits] {
        var result: [Logits] = []
        embedder.forEachRow(of: exemplars.contexts[index], transformations, border: sampler.ranges.border, head) {
            result.append(Logits($1))
        }
        return result
    }
}

/// The scores of one exemplar.
private struct ExemplarScores: Sendable {
    var draws: DrawScores
    var steps: [Score]
}

/// The scores of one exemplar's draws, taken in groups: logits are as long as the head, and draws may be many.
struct DrawScores: Sendable {
    /// Among the exemplars measured alone.
    private(set) var restricted = Score()
    /// Of the means of so many draws each.
    private(set) var averages: [Score]

    /// - Parameters:
    ///   - averaged: powers of two up to `Study.mostAveraged`, so that no mean is over two groups.
    ///   - exemplar: whose draws they are.
    ///   - rows: each exemplar's own row of the head.
    ///   - logits: of some of the draws.
    init(_ count: Int, averaged: [Int], exemplar: Int, rows: [Int], logits: (Range<Int>) -> [Logits]) {
        averages = averaged.map { _ in Score() }
        for start in stride(from: 0, to: count, by: Study.mostAveraged) {
            let group = logits(start..<min(start + Study.mostAveraged, count))
            restricted.add(group.lazy.map { $0.restricted(to: rows) }, row: exemplar)
            for (place, count) in averaged.enumerated() {
                averages[place].add(group.means(of: count), row: rows[exemplar])
            }
        }
    }
}

/// Of one exemplar: the mean over its draws of ln q at its own row, and of whether that row is the greatest.
struct Score: Sendable {
    private(set) var logProbability = RunningMean()
    private(set) var top1 = RunningMean()

    init() {}

    init(_ logits: [Logits], row: Int) { add(logits, row: row) }

    mutating func add(_ logits: some Sequence<Logits>, row: Int) {
        for logits in logits {
            logProbability.add(logits.logProbability(of: row))
            top1.add(logits.isTop(row) ? 1 : 0)
        }
    }
}

extension BoundMeasurement.Estimate {
    fileprivate init(_ scores: [Score], among count: Int) {
        ceiling = log(Double(count))
        bound = MeanInterval(scores.map(\.logProbability.mean)).adding(ceiling)
        top1 = MeanInterval(scores.map(\.top1.mean))
    }
}
