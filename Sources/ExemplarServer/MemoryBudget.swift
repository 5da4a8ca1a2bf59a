import Synchronization

/// The bytes that admitted requests hold: their pixels, rows and averages. Together with the replies that wait for their
/// clients they may take so much and no more; beyond it work is refused as overloaded.
final class MemoryBudget: Sendable {
    static let capacity = 1 << 30

    private let held = Atomic<Int>(0)

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

    /// Takes `byteCount` bytes; nil where there is no room for them beside `others`.
    func take(_ byteCount: Int, beside others: Int) -> Lease? {
        let before = held.add(byteCount, ordering: .relaxed).oldValue
        let lease = Lease(self, byteCount)
        return before + byteCount + others <= Self.capacity ? lease : nil
    }
}
