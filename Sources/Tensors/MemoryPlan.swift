/// Where each buffer of a sequence of steps lies in one slab.
///
/// Buffers that are never alive at the same step may share memory; the plan is made once, when a model is loaded, by
/// first fit in the order of falling size, the greedy rule that XNNPACK's and TensorFlow Lite's planners use too.
public struct MemoryPlan: Sendable, Equatable {
    /// A buffer and the steps at which it holds something.
    public struct Request: Sendable, Equatable {
        /// In floats.
        public var count: Int
        /// From the step that writes it to the last step that reads it. A buffer that keeps something from one run to
        /// the next, such as a border of zeros, lives through all of them: `MemoryPlan.always`.
        public var lifetime: ClosedRange<Int>

        public init(count: Int, lifetime: ClosedRange<Int>) {
            self.count = count
            self.lifetime = lifetime
        }
    }

    /// The lifetime of a buffer that shares its memory with no other.
    public static let always = 0...Int.max

    /// For each request, in floats from the slab's start; a multiple of 16.
    public let offsets: [Int]
    /// The slab's size in floats.
    public let count: Int

    /// Plans the requests; nil if their sizes overflow.
    public init?(_ requests: [Request]) {
        // Each buffer is followed by a vector of slack, so that whole-vector reads never reach a neighbour's first
        // line, and so that buffers of power-of-two sizes do not all start in the same cache set.
        var sizes: [Int] = []
        for request in requests {
            let (padded, overflow) = request.count.addingReportingOverflow(Slab.tailCount + 15)
            guard request.count >= 0, !overflow else { return nil }
            sizes.append(padded & ~15)
        }
        var offsets = [Int](repeating: 0, count: requests.count)
        var placed: [Int] = []
        var end = 0
        for index in requests.indices.sorted(by: { (sizes[$0], $1) > (sizes[$1], $0) }) {
            let neighbours =
                placed
                .filter { requests[$0].lifetime.overlaps(requests[index].lifetime) }
                .sorted { offsets[$0] < offsets[$1] }
            var offset = 0
            for neighbour in neighbours {
                if offsets[neighbour] - offset >= sizes[index] { break }
                offset = max(offset, offsets[neighbour] + sizes[neighbour])
            }
            let (last, overflow) = offset.addingReportingOverflow(sizes[index])
            guard !overflow else { return nil }
            offsets[index] = offset
            placed.append(index)
            end = max(end, last)
        }
        self.offsets = offsets
        count = end
    }
}
