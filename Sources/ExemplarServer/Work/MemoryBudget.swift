import Batching
import ExemplarNetwork

/// What the server may do with the process's memory, so that the sum of everything that clients can make it hold stays
/// within the limit: weights and the workers' maps first, and of what they leave a quarter for requests and replies, a
/// quarter for lines that have not ended, and the rest for the forward passes of images (`ImagePasses`).
///
/// Models, requests and passes are taken before they are allocated; lines and waiting replies are counted as they grow,
/// and no more of them are taken in, or written, where they have no room: beyond it by what each event loop was at when
/// it looked, one turn's bytes of a line or one reply of its own, and by what each connection may always have of a
/// line, `ServerConfiguration.fairShare`. While models are loaded beside those that serve, the others' parts shrink:
/// what they hold already stays, and what is new must fit into both its part and the whole.
final class MemoryBudget: Sendable {
    private let chosen: Int?
    private let state: Monitor<MemoryHoldings>

    /// - Parameter chosen: `--memory-limit`.
    init(chosen: Int?) {
        self.chosen = chosen
        state = Monitor(MemoryHoldings(limit: MemoryLimit.current(chosen: chosen).byteCount))
    }

    /// A share of the budget, given back when the last reference goes.
    ///
    /// Unchecked: its bytes change with the budget's lock held.
    final class Lease: @unchecked Sendable {
        private let budget: MemoryBudget
        fileprivate let part: MemoryHoldings.Part
        fileprivate var byteCount: Int

        fileprivate init(_ budget: MemoryBudget, _ part: MemoryHoldings.Part, _ byteCount: Int) {
            self.budget = budget
            self.part = part
            self.byteCount = byteCount
        }

        deinit {
            budget.state.withLock { $0.add(-byteCount, to: part) }
        }

        fileprivate func shrink(_ holdings: inout MemoryHoldings, to byteCount: Int) {
            holdings.add(byteCount - self.byteCount, to: part)
            self.byteCount = byteCount
        }
    }

    /// Gives back what a lease has beyond `byteCount` bytes.
    func shrink(_ lease: Lease, to byteCount: Int) { state.withLock { lease.shrink(&$0, to: byteCount) } }

    /// What is held now, kind by kind.
    var holdings: MemoryHoldings { state.withLock { $0 } }

    /// Now: while models are being replaced both sets count.
    var capacities: MemoryHoldings.Capacities { holdings.capacities }

    /// As soon as the models that serve are alone: what does not fit then never will.
    var settledCapacities: MemoryHoldings.Capacities { holdings.settledCapacities }

    // MARK: Models

    /// Takes memory for a model that is being loaded, beside all that is held. The process's limit is read anew.
    func takeModel(_ byteCount: Int, for subject: String, advice: String) throws(ModelError) -> Lease {
        var limit = MemoryLimit.current(chosen: chosen)
        try state.withLock { holdings throws(ModelError) in
            holdings.limit = limit.byteCount
            limit.taken = holdings.total
            try limit.check(byteCount, for: subject, advice: advice)
            holdings.models += byteCount
        }
        return Lease(self, .models, byteCount)
    }

    /// Takes note of which models serve from now on, by their bytes.
    func serve(_ byteCount: Int) { state.withLock { $0.serving = byteCount } }

    // MARK: Images

    /// Takes `byteCount` bytes for the pass over an image; nil where there is no room for them now.
    ///
    /// - Parameter others: shares of passes that make way. The new one is as large as all of them, if that is more,
    ///   until it `shrinks`: what makes way is still to be freed. They are left with nothing.
    func takePass(_ byteCount: Int, inPlaceOf others: [Lease] = []) -> Lease? {
        let size = state.withLock { holdings -> Int? in
            assert(others.allSatisfy { $0.part == .passes }, "only a pass makes way for another")
            let freed = others.reduce(0) { $0 + $1.byteCount }
            let size = max(byteCount, freed)
            guard holdings.hasRoomForPass(size - freed) else { return nil }
            holdings.passes += size - freed
            for other in others { other.byteCount = 0 }
            return size
        }
        return size.map { Lease(self, .passes, $0) }
    }

    // MARK: Requests

    /// Takes note that the waiting replies have grown by so much, or shrunk; returns what is held then.
    @discardableResult
    func addWaiting(_ byteCount: Int) -> MemoryHoldings {
        state.withLock { holdings in
            holdings.waiting += byteCount
            return holdings
        }
    }

    /// Takes note that the storage of unended lines has grown by so much, or shrunk.
    func addLines(_ byteCount: Int) { state.withLock { $0.lines += byteCount } }

    /// Whether lines that have not ended have room.
    ///
    /// - Parameter growth: bytes of storage to come.
    func roomForLines(growth: Int = 0) -> MemoryHoldings.LineRoom { holdings.roomForLines(growth: growth) }

    /// Takes `byteCount` bytes for a request; nil where there is no room for them.
    func take(_ byteCount: Int) -> Lease? {
        let hasRoom = state.withLock { holdings in
            guard holdings.hasRoomForRequest(byteCount) else { return false }
            holdings.requests += byteCount
            return true
        }
        return hasRoom ? Lease(self, .requests, byteCount) : nil
    }
}

/// Who holds how much of the process's memory, in bytes.
struct MemoryHoldings: Sendable, Equatable {
    /// The process's, as it was when models were last loaded.
    var limit: Int
    /// Weights and the workers' maps, of all sets that live.
    var models = 0
    /// Of these, the set that serves.
    var serving = 0
    /// What admitted requests hold: pixels, rows, averages and replies.
    var requests = 0
    /// Replies that wait for their clients.
    var waiting = 0
    /// Storage of lines that have not ended.
    var lines = 0
    /// Passes over images: those that run, and the memory that is kept for the next.
    var passes = 0

    init(limit: Int) { self.limit = limit }

    /// Who holds leases.
    enum Part: Sendable {
        case models
        case requests
        case passes
    }

    mutating func add(_ byteCount: Int, to part: Part) {
        switch part {
        case .models: models += byteCount
        case .requests: requests += byteCount
        case .passes: passes += byteCount
        }
    }

    var total: Int { models + requests + waiting + lines + passes }

    /// How what the models leave over is divided.
    struct Capacities: Sendable {
        /// Requests, and lines, take no more than this however much memory there is.
        private static let mostForRequests = 1 << 30

        /// Bytes that requests and replies may take together.
        let requests: Int
        /// Bytes of storage that lines which have not ended may take together.
        let lines: Int
        /// Bytes that the forward passes of images may take together.
        let passes: Int

        fileprivate init(spare: Int) {
            requests = min(Self.mostForRequests, spare / 4)
            lines = requests
            passes = spare - requests - lines
        }
    }

    var capacities: Capacities { Capacities(spare: max(0, limit - models)) }

    /// Once the models that serve are alone.
    var settledCapacities: Capacities { Capacities(spare: max(0, limit - serving)) }

    /// Whether lines that have not ended have room.
    enum LineRoom: Sendable {
        case free
        /// Not now: two sets of models, as at a reload, fill the whole, or passes that will end.
        case later
        /// They take more than their part when one set of models serves.
        case none
    }

    /// - Parameter growth: bytes of storage to come.
    func roomForLines(growth: Int) -> LineRoom {
        guard lines <= settledCapacities.lines else { return .none }
        return total + growth <= limit ? .free : .later
    }

    func hasRoomForRequest(_ byteCount: Int) -> Bool {
        requests + waiting + byteCount <= capacities.requests && total + byteCount <= limit
    }

    /// - Parameter byteCount: of what it takes beyond what makes way for it; 0 always fits.
    func hasRoomForPass(_ byteCount: Int) -> Bool {
        byteCount <= 0 || passes + byteCount <= capacities.passes && total + byteCount <= limit
    }
}
