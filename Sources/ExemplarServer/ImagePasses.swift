import Batching
import ExemplarNetwork

/// Memory for forward passes over images larger than the patch: gigabytes for a megapixel on a large network.
///
/// A pass that finds no room waits for others to end; one that would never find room is refused before it is queued.
/// The embedders of the last sizes are kept a while for images of the same size, unless somebody wants their memory.
///
/// Unchecked: an embedder belongs to whoever took it.
final class ImagePasses: @unchecked Sendable {
    private struct Kept {
        let model: ObjectIdentifier
        let embedder: Embedder
        let since = ContinuousClock.now
    }

    private struct State {
        /// Bytes of the passes that run.
        var running = 0
        /// Bytes of embedders that make way and are being freed.
        var leaving = 0
        /// Passes that wait for memory, the first that came in front: a small one does not overtake a large one for ever.
        var queue: [UInt64] = []
        var lastTicket: UInt64 = 0
        /// The last one last.
        var kept: [Kept] = []

        var keptByteCount: Int { kept.reduce(0) { $0 + $1.embedder.byteCount } }
    }

    /// How a pass begins.
    private enum Start {
        case with(Embedder)
        case withNew
        /// Once these are freed.
        case after([Kept])
        case never

        /// Bytes that are to be freed first.
        var makingWay: Int? {
            if case .after(let evicted) = self { evicted.reduce(0) { $0 + $1.embedder.byteCount } } else { nil }
        }
    }

    private static let mostKept = 2

    private let budget: MemoryBudget
    private let state = Monitor(State())

    init(budget: MemoryBudget) { self.budget = budget }

    /// Bytes held now, kept embedders among them.
    var byteCount: Int { state.withLock { $0.running + $0.leaving + $0.keptByteCount } }

    /// Runs `body` with an embedder for one image of this size; waits until there is memory for it.
    ///
    /// - Parameter willWait: called before each wait.
    /// - Throws: `ModelError` where there is not so much memory.
    func with(
        _ served: ServedModel, height: Int, width: Int, willWait: () -> Void, _ body: (Embedder) -> Void
    ) throws(ModelError) {
        let model = ObjectIdentifier(served.model)
        let byteCount = try served.imageByteCount(height: height, width: width)
        let ticket = state.withLock { state in
            state.lastTicket += 1
            return state.lastTicket
        }
        var start = begin(ticket, model, height: height, width: width, byteCount, willWait)
        while let freed = start.makingWay {
            // What makes way is freed out of the lock, and before anything takes its place.
            start = .never
            state.withLock { $0.leaving -= freed }
            state.notifyAll()
            start = begin(ticket, model, height: height, width: width, byteCount, willWait)
        }
        // The next that waits may fit beside this one.
        state.notifyAll()
        switch start {
        case .with(let embedder):
            body(embedder)
            finish(Kept(model: model, embedder: embedder), byteCount, of: served)
        case .withNew:
            do throws(ModelError) {
                let embedder = try served.makeImageEmbedder(height: height, width: width)
                body(embedder)
                finish(Kept(model: model, embedder: embedder), byteCount, of: served)
            } catch {
                finish(nil, byteCount, of: served)
                throw error
            }
        case .after, .never:
            throw ModelError("While models are being replaced there is no memory for an image of \(height) × \(width).")
        }
    }

    /// Takes the memory for a pass, or makes room for it; waits where there is none.
    private func begin(
        _ ticket: UInt64, _ model: ObjectIdentifier, height: Int, width: Int, _ byteCount: Int, _ willWait: () -> Void
    ) -> Start {
        state.wait { state in
            let match = state.kept.lastIndex {
                $0.model == model && $0.embedder.inputShape.height == height && $0.embedder.inputShape.width == width
            }
            if let match {
                state.running += byteCount
                state.queue.removeAll { $0 == ticket }
                return .with(state.kept.remove(at: match).embedder)
            }
            let capacity = budget.capacities.passes
            guard byteCount <= capacity else {
                state.queue.removeAll { $0 == ticket }
                return .never
            }
            if let first = state.queue.first, first != ticket {
                if !state.queue.contains(ticket) { state.queue.append(ticket) }
                willWait()
                return nil
            }
            var evicted: [Kept] = []
            while state.running + state.leaving + state.keptByteCount + byteCount > capacity, !state.kept.isEmpty {
                let kept = state.kept.removeFirst()
                state.leaving += kept.embedder.byteCount
                evicted.append(kept)
            }
            guard evicted.isEmpty else { return .after(evicted) }
            guard state.running + state.leaving + byteCount <= capacity else {
                if state.queue.isEmpty { state.queue.append(ticket) }
                willWait()
                return nil
            }
            state.running += byteCount
            state.queue.removeAll { $0 == ticket }
            return .withNew
        }
    }

    /// How long an embedder is kept that nobody uses.
    private static let patience = Duration.seconds(5)

    /// Whether an embedder is kept that nobody has used for a while.
    func hasStale(_ now: ContinuousClock.Instant) -> Bool {
        state.withLock { $0.kept.contains { $0.since + Self.patience <= now } }
    }

    /// Whether any embedder is kept.
    var hasKept: Bool { state.withLock { !$0.kept.isEmpty } }

    /// Memory has become free elsewhere: those that wait for it look again.
    func capacityGrew() { state.notifyAll() }

    /// Frees what is kept; with `stale`, only what nobody has used for a while.
    func forget(stale now: ContinuousClock.Instant? = nil) {
        let kept = state.withLock { state in
            let gone = state.kept.filter { kept in now.map { kept.since + Self.patience <= $0 } ?? true }
            state.kept.removeAll { kept in gone.contains { $0.embedder === kept.embedder } }
            return gone.map(\.embedder).map(Unshared.init)
        }
        state.notifyAll()
        withExtendedLifetime(kept) {}
    }

    private func finish(_ finished: Kept?, _ byteCount: Int, of served: ServedModel) {
        let evicted = state.withLock { state -> [Unshared] in
            state.running -= byteCount
            guard let finished, !served.isRetired else { return [] }
            state.kept.append(finished)
            guard state.kept.count > Self.mostKept else { return [] }
            return [Unshared(embedder: state.kept.removeFirst().embedder)]
        }
        state.notifyAll()
        withExtendedLifetime(evicted) {}
    }

    /// An embedder on its way out of the lock.
    private struct Unshared: @unchecked Sendable {
        let embedder: Embedder
    }
}
