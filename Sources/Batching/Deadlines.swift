/// The deadlines of jobs, the earliest at hand: a binary heap.
///
/// A job that leaves early is not looked for. What is kept of it goes when it has come to the top, or with all others
/// like it once they are the larger part; so every step costs the logarithm of the jobs that are there.
struct Deadlines<Instant: Comparable & Sendable>: Sendable {
    struct Entry: Sendable {
        let deadline: Instant
        let job: UInt64
    }

    /// Each is no later than those at twice its index plus 1 and plus 2.
    private var heap: [Entry] = []

    var first: Entry? { heap.first }
    /// Of all that are kept, jobs that have left among them.
    var count: Int { heap.count }

    mutating func add(_ deadline: Instant, of job: UInt64) {
        heap.append(Entry(deadline: deadline, job: job))
        var index = heap.count - 1
        while index > 0, heap[index].deadline < heap[(index - 1) / 2].deadline {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        sink(0)
    }

    /// Forgets jobs that have left, those that would be first at any rate.
    ///
    /// - Parameter count: of the jobs that are there.
    mutating func forget(keeping count: Int, _ hasLeft: (UInt64) -> Bool) {
        if heap.count > 2 * count + 64 {
            heap.removeAll { hasLeft($0.job) }
            for index in (0..<heap.count / 2).reversed() { sink(index) }
        }
        while let first, hasLeft(first.job) { removeFirst() }
    }

    private mutating func sink(_ start: Int) {
        var index = start
        while true {
            var least = index
            // No array of the two: a job's step allocates nothing.
            for child in 2 * index + 1...2 * index + 2
            where child < heap.count && heap[child].deadline < heap[least].deadline {
                least = child
            }
            guard least != index else { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
