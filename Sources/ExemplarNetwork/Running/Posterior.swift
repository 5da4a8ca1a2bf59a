import Glibc

/// The posterior π over a network's exemplars, π = softmax(logits), as far as its most probable entries: which exemplar
/// does this patch come from?
///
/// Probabilities are exp(l − max) over their sum, in double precision, so that no logit overflows and a constant added
/// to all of them changes nothing.
public struct Posterior: Sendable, Equatable {
    /// One row of the head.
    public struct Entry: Sendable, Equatable {
        public let index: Int
        public let probability: Double
        /// The natural logarithm of `probability`; −∞ for a logit of −∞.
        public let logProbability: Double
    }

    /// In falling order of probability, of equal ones the lower index first.
    public let entries: [Entry]

    /// The `count` most probable of all entries, or all of them where there are fewer; O(N log count).
    ///
    /// Every value gives a distribution: NaN counts as −∞, logits of +∞ share the probability equally, and logits
    /// that are all −∞ are as equal as any others.
    public init(logits: UnsafeBufferPointer<Float>, count: Int) {
        let values = logits.lazy.map { $0.isNaN ? -Double.infinity : Double($0) }
        let greatest = values.max() ?? 0
        /// The logarithm of an entry's weight before normalisation.
        func relative(_ value: Double) -> Double { value == greatest ? 0 : value - greatest }
        let logSum = log(values.reduce(0) { $0 + exp(relative($1)) })

        var best = BestValues(capacity: max(0, min(count, logits.count)))
        for (index, value) in values.enumerated() { best.insert(BestValues.Element(value: value, index: index)) }
        entries = best.descending.map { element in
            let logProbability = relative(element.value) - logSum
            return Entry(index: element.index, probability: exp(logProbability), logProbability: logProbability)
        }
    }
}

/// The greatest of the values seen so far: a binary heap of them with the least in front, which a greater value
/// replaces.
private struct BestValues {
    struct Element {
        let value: Double
        let index: Int

        /// Whether this comes after `other` in the order of the answer.
        func isWorse(than other: Element) -> Bool {
            value == other.value ? index > other.index : value < other.value
        }
    }

    private let capacity: Int
    private var heap: [Element] = []

    init(capacity: Int) {
        self.capacity = capacity
        heap.reserveCapacity(capacity)
    }

    var descending: [Element] { heap.sorted { $1.isWorse(than: $0) } }

    mutating func insert(_ element: Element) {
        if heap.count < capacity {
            heap.append(element)
            siftUp()
        } else if let least = heap.first, least.isWorse(than: element) {
            heap[0] = element
            siftDown()
        }
    }

    private mutating func siftUp() {
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isWorse(than: heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func siftDown() {
        var parent = 0
        while true {
            var worst = parent
            for child in 2 * parent + 1...2 * parent + 2 where child < heap.count {
                if heap[child].isWorse(than: heap[worst]) { worst = child }
            }
            guard worst != parent else { return }
            heap.swapAt(parent, worst)
            parent = worst
        }
    }
}
