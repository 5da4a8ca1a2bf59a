import Synchronization

/// The bytes that admitted requests hold, pixels, rows, averages and replies, and the replies that wait for their clients.
/// Together they may take so much and no more; beyond it work is refused as overloaded, before it has any memory.
final class MemoryBudget: Sendable {
    static let capacity = 1 << 30

    private let held = Atomic<Int>(0)
    /// Replies that wait for their clients.
    private let waiting = Atomic<Int>(0)

    /// Bytes held now.
    var byteCount: Int { held.load(ordering: .relaxed) }

    /// A share of the budget, given back when the last reference goes.
    final class Lease: Sendable {
        private let budget: MemoryBudget
        private let byteCount: Int

        fileprivate init(_ budget: MemoryBudget, _ byteCount: Int) {
            self.budget = budget
            self.byteCount = byteCount
        }

        deinit { budget.held.subtract(byteCount, ordering: .relaxed) }
    }

    /// Takes note that the waiting replies have grown by so much, or shrunk.
    func addWaiting(_ byteCount: Int) { waiting.add(byteCount, ordering: .relaxed) }

    /// Bytes of replies that wait for their clients.
    var waitingByteCount: Int { waiting.load(ordering: .relaxed) }

    /// Takes `byteCount` bytes; nil where there is no room for them.
    func take(_ byteCount: Int) -> Lease? {
        let before = held.add(byteCount, ordering: .relaxed).oldValue
        let lease = Lease(self, byteCount)
        return before + byteCount + waitingByteCount <= Self.capacity ? lease : nil
    }
}
