import Batching
import ExemplarNetwork

/// An embedder on its way between two owners.
private struct Loan: @unchecked Sendable {
    let embedder: Embedder

    init(_ embedder: Embedder) { self.embedder = embedder }
}

/// Embedders that no worker is using. There are as many as workers, and each worker uses one at a time; the first is
/// the one that a crew can share.
final class EmbedderPool: @unchecked Sendable {
    // Unchecked: an embedder belongs to whoever took it out.
    private let idle: Monitor<[Embedder]>

    init(_ embedders: sending [Embedder]) { idle = Monitor(embedders) }

    /// Runs `body` with an embedder of its own.
    ///
    /// - Parameter isShared: takes the one that a crew can share, if it is idle; everybody else leaves it to the last.
    func with<Result>(isShared: Bool = false, _ body: (Embedder) -> Result) -> Result {
        let embedder = idle.wait { idle in
            (isShared ? idle.first : idle.last).map { _ in Loan(isShared ? idle.removeFirst() : idle.removeLast()) }
        }.embedder
        defer {
            let loan = Loan(embedder)
            idle.withLockWaking { idle in
                idle.insert(loan.embedder, at: loan.embedder.canBeShared ? 0 : idle.endIndex)
                return ((), waking: idle.count)
            }
        }
        return body(embedder)
    }
}
