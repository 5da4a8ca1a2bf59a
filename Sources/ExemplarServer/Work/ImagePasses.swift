import Batching
import ExemplarNetwork

/// Memory for forward passes over images larger than the patch: gigabytes for a megapixel on a large network.
///
/// A pass is reserved before it starts; where there is no room now the batcher passes it over until there is, and one
/// that would never find room is refused before it is queued. The embedders of the last sizes are kept a while for
/// images of the same size, unless somebody wants their memory.
///
/// Unchecked: an embedder belongs to whoever took it.
final class ImagePasses: @unchecked Sendable {
    /// The memory of one pass, reserved; then the embedder in it, which may be kept for the next. Belongs to the worker
    /// that runs it.
    final class Pass {
        fileprivate let model: ObjectIdentifier
        fileprivate let height: Int
        fileprivate let width: Int
        fileprivate let byteCount: Int
        fileprivate var embedder: Embedder?
        /// What makes way, and is to be freed first.
        fileprivate var leaving: [Pass]
        /// When it was last used.
        fileprivate var since = ContinuousClock.now
        /// Last: given back once the embedder is gone.
        fileprivate let lease: MemoryBudget.Lease

        fileprivate init(
            _ model: ObjectIdentifier, height: Int, width: Int, _ byteCount: Int, _ lease: MemoryBudget.Lease,
            leaving: [Pass]
        ) {
            self.model = model
            self.height = height
            self.width = width
            self.byteCount = byteCount
            self.lease = lease
            self.leaving = leaving
        }
    }

    enum Reservation {
        case reserved(Pass)
        /// Not now, but passes run: `didRelease` tells when to ask again.
        case wait
        /// Nothing that ends by itself has the memory: models are being replaced, or requests and connections hold it.
        case never
    }

    private static let mostKept = 2
    /// How long an embedder is kept that nobody uses.
    private static let patience = Duration.seconds(5)

    private let budget: MemoryBudget
    /// Called when there is more memory than before.
    private let didRelease: @Sendable () -> Void
    /// The one used last stands last.
    private let kept = Monitor<[Pass]>([])

    init(budget: MemoryBudget, didRelease: @escaping @Sendable () -> Void) {
        self.budget = budget
        self.didRelease = didRelease
    }

    /// Takes the memory for a pass over an image of this size, if there is so much now. Waits for nothing.
    ///
    /// - Parameter byteCount: what the pass takes, as `ServedModel.imageByteCount` says.
    func reserve(_ served: ServedModel, height: Int, width: Int, _ byteCount: Int) -> Reservation {
        let model = ObjectIdentifier(served.model)
        return kept.withLock { kept in
            let match = kept.lastIndex { $0.model == model && $0.height == height && $0.width == width }
            if let match { return .reserved(kept.remove(at: match)) }
            guard byteCount <= budget.capacities.passes else { return .never }
            // Passes tell when they end. What else holds memory, requests and connections, may do so for ever.
            let areOthersRunning = budget.holdings.passes > kept.reduce(0) { $0 + $1.byteCount }
            for count in 0...kept.count {
                let leaving = Array(kept.prefix(count))
                guard let lease = budget.takePass(byteCount, inPlaceOf: leaving.map(\.lease)) else { continue }
                kept.removeFirst(count)
                return .reserved(
                    Pass(model, height: height, width: width, byteCount, lease, leaving: leaving))
            }
            return areOthersRunning ? .wait : .never
        }
    }

    /// Runs `body` with the embedder of a pass that was reserved for this model.
    ///
    /// - Throws: `ModelError` where the system has not so much memory.
    func run(_ pass: Pass, _ served: ServedModel, _ body: (Embedder) -> Void) throws(ModelError) {
        if !pass.leaving.isEmpty {
            pass.leaving = []
            budget.shrink(pass.lease, to: pass.byteCount)
            didRelease()
        }
        do throws(ModelError) {
            try compute(pass, served, body)
        } catch {
            free([pass])
            throw error
        }
        let surplus = kept.withLock { kept -> [Pass] in
            pass.since = .now
            // Nothing is kept for models that were replaced.
            guard !served.isRetired else { return [pass] }
            kept.append(pass)
            return kept.count > Self.mostKept ? [kept.removeFirst()] : []
        }
        // What is kept makes way for whoever waits.
        if surplus.isEmpty { didRelease() } else { free(surplus) }
    }

    /// A call of its own, so that the pass alone holds the embedder when it returns.
    private func compute(_ pass: Pass, _ served: ServedModel, _ body: (Embedder) -> Void) throws(ModelError) {
        let embedder: Embedder
        if let own = pass.embedder {
            embedder = own
        } else {
            embedder = try served.makeImageEmbedder(height: pass.height, width: pass.width)
            pass.embedder = embedder
        }
        body(embedder)
    }

    /// Tells that there is more memory than before, freed elsewhere.
    func capacityGrew() { didRelease() }

    /// When an embedder is kept that nobody has used for a while; nil where none is kept.
    var nextStale: ContinuousClock.Instant? { kept.withLock { $0.first.map { $0.since + Self.patience } } }

    /// Frees what is kept; with `stale`, only what nobody has used for a while.
    func forget(stale now: ContinuousClock.Instant? = nil) {
        let gone = kept.withLock { kept in
            let gone = kept.filter { pass in now.map { pass.since + Self.patience <= $0 } ?? true }
            kept.removeAll { pass in gone.contains { $0 === pass } }
            return gone
        }
        if !gone.isEmpty { free(gone) }
    }

    /// First the memory, then its place in the budget; out of the lock, since unmapping takes its time.
    private func free(_ gone: [Pass]) {
        for pass in gone {
            pass.embedder = nil
            budget.shrink(pass.lease, to: 0)
        }
        didRelease()
    }
}
