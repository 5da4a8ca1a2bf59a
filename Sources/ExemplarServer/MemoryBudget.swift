import ExemplarNetwork
import Synchronization

/// What the server may do with the process's memory, so that the sum of everything that clients can make it hold stays
/// within the limit: weights and the workers' maps first, and of what they leave a quarter for requests and replies, a
/// quarter for lines that have not ended, and the rest for the forward passes of images (`ImagePasses`).
///
/// Models count once they are in memory: what passes take while others are loaded may go beyond the limit for that time.
final class MemoryBudget: Sendable {
    /// Requests, and lines, take no more than this however much memory there is.
    private static let mostForRequests = 1 << 30

    private let chosen: Int?
    /// The process's limit, as it was when models were last loaded.
    private let limitByteCount: Atomic<Int>
    /// Weights and the workers' maps, of all sets that live.
    private let models = Atomic<Int>(0)
    /// Of these, the set that serves.
    private let serving = Atomic<Int>(0)
    /// What admitted requests hold: pixels, rows, averages and replies.
    private let held = Atomic<Int>(0)
    /// Replies that wait for their clients.
    private let waiting = Atomic<Int>(0)
    /// Storage of lines that have not ended.
    private let lines = Atomic<Int>(0)

    /// - Parameter chosen: `--memory-limit`.
    init(chosen: Int?) {
        self.chosen = chosen
        limitByteCount = Atomic(MemoryLimit.current(chosen: chosen).byteCount)
    }

    /// A share of the budget, given back when the last reference goes.
    final class Lease: Sendable {
        let byteCount: Int
        private let budget: MemoryBudget
        private let isModel: Bool

        fileprivate init(_ budget: MemoryBudget, _ byteCount: Int, isModel: Bool = false) {
            self.budget = budget
            self.byteCount = byteCount
            self.isModel = isModel
        }

        deinit {
            if isModel {
                budget.models.subtract(byteCount, ordering: .relaxed)
            } else {
                budget.held.subtract(byteCount, ordering: .relaxed)
            }
        }
    }

    // MARK: Capacities

    /// How what the models leave over is divided.
    struct Capacities: Sendable {
        /// Bytes that requests and replies may take together.
        let requests: Int
        /// Bytes of storage that lines which have not ended may take together.
        let lines: Int
        /// Bytes that the forward passes of images may take together.
        let passes: Int

        fileprivate init(spare: Int) {
            requests = min(MemoryBudget.mostForRequests, spare / 4)
            lines = requests
            passes = spare - requests - lines
        }
    }

    /// Now: while models are being replaced both sets count.
    var capacities: Capacities { capacities(models: modelByteCount) }

    /// As soon as the models that serve are alone: what does not fit then never will.
    var settledCapacities: Capacities { capacities(models: serving.load(ordering: .relaxed)) }

    private func capacities(models: Int) -> Capacities {
        Capacities(spare: max(0, limitByteCount.load(ordering: .relaxed) - models))
    }

    // MARK: Models

    /// Bytes of all models that live.
    var modelByteCount: Int { models.load(ordering: .relaxed) }

    /// The limit for what is to be loaded now, beside what is held.
    ///
    /// - Parameter passes: bytes that the passes of images hold.
    func limit(passes: Int) -> MemoryLimit {
        var limit = MemoryLimit.current(chosen: chosen)
        limitByteCount.store(limit.byteCount, ordering: .relaxed)
        limit.taken =
            models.load(ordering: .relaxed) + held.load(ordering: .relaxed) + waitingByteCount + lineByteCount
            + passes
        return limit
    }

    /// Takes note of which models serve from now on, by their bytes.
    func serve(_ byteCount: Int) { serving.store(byteCount, ordering: .relaxed) }

    /// Takes note of memory that belongs to a model.
    func addModel(_ byteCount: Int) -> Lease {
        models.add(byteCount, ordering: .relaxed)
        return Lease(self, byteCount, isModel: true)
    }

    // MARK: Requests

    /// Takes note that the waiting replies have grown by so much, or shrunk.
    func addWaiting(_ byteCount: Int) { waiting.add(byteCount, ordering: .relaxed) }

    /// Takes note that the storage of unended lines has grown by so much, or shrunk.
    func addLines(_ byteCount: Int) { lines.add(byteCount, ordering: .relaxed) }

    /// Bytes of storage of lines that have not ended.
    var lineByteCount: Int { lines.load(ordering: .relaxed) }

    /// Bytes of replies that wait for their clients.
    var waitingByteCount: Int { waiting.load(ordering: .relaxed) }

    /// Takes `byteCount` bytes for a request; nil where there is no room for them.
    func take(_ byteCount: Int) -> Lease? {
        let before = held.add(byteCount, ordering: .relaxed).oldValue
        let lease = Lease(self, byteCount)
        return before + byteCount + waitingByteCount <= capacities.requests ? lease : nil
    }
}
