/// Patches that wait, in the order in which they will be taken.
///
/// Connections take turns. The one whose turn it is chooses the key of the next batch, by its own oldest turn among
/// its keys; the others with patches of that key share the batch with it, in equal parts as far as they have enough.
/// Whoever was served goes to the back, so a client with a thousand patches delays one with a single patch by one
/// batch at most. Within one connection and key, patches keep their order. Pieces are taken one at a time, and never
/// share a batch.
struct TurnQueue<Key: BatchKey> {
    /// A run of patches of one job, taken out of the queue.
    struct Portion: Equatable {
        let job: UInt64
        let patches: Range<Int>
    }

    /// Jobs of one connection and key, oldest first.
    private struct Lane {
        let key: Key
        var portions: [Portion]
        var patchCount: Int
        /// Portions before this index are gone; they are removed in one go, so that taking stays O(1).
        var head = 0

        var isEmpty: Bool { head == portions.count }

        mutating func take(_ wanted: Int, into taken: inout [Portion]) {
            var left = wanted
            while left > 0, head < portions.count {
                let portion = portions[head]
                let count = min(left, portion.patches.count)
                let split = portion.patches.lowerBound + count
                taken.append(Portion(job: portion.job, patches: portion.patches.lowerBound..<split))
                if count == portion.patches.count {
                    head += 1
                } else {
                    portions[head] = Portion(job: portion.job, patches: split..<portion.patches.upperBound)
                }
                left -= count
            }
            patchCount -= wanted - left
            if head > 32, head * 2 > portions.count {
                portions.removeFirst(head)
                head = 0
            }
        }
    }

    /// Every connection with patches in the queue, next turn first.
    private var ring: [ConnectionID] = []
    private var lanes: [ConnectionID: [Lane]] = [:]

    /// Patches in the queue.
    private(set) var patchCount = 0
    /// Of these, patches of keys that run in pieces.
    private(set) var pieceCount = 0
    /// Patches of each key that has some.
    private(set) var patchCounts: [Key: Int] = [:]

    mutating func append(job: UInt64, of connection: ConnectionID, key: Key, patches: Range<Int>) {
        let portion = Portion(job: job, patches: patches)
        let count = patches.count
        patchCount += count
        if key.runsInPieces { pieceCount += count }
        patchCounts[key, default: 0] += count
        guard var own = lanes.removeValue(forKey: connection) else {
            ring.append(connection)
            lanes[connection] = [Lane(key: key, portions: [portion], patchCount: count)]
            return
        }
        if let index = own.firstIndex(where: { $0.key == key }) {
            own[index].portions.append(portion)
            own[index].patchCount += count
        } else {
            own.append(Lane(key: key, portions: [portion], patchCount: count))
        }
        lanes[connection] = own
    }

    /// Whose turn it is, and with which key.
    struct Turn {
        let connection: ConnectionID
        let key: Key
        /// The first of the connection's patches of that key.
        let first: Portion
    }

    /// The next turn, of a key that runs in pieces or of another, as far as these are asked for. Nil where there is
    /// none.
    func nextTurn(pieces: Bool = true, batches: Bool = true) -> Turn? {
        for connection in ring {
            for lane in lanes[connection] ?? [] where lane.key.runsInPieces ? pieces : batches {
                return Turn(connection: connection, key: lane.key, first: lane.portions[lane.head])
            }
        }
        return nil
    }

    /// The first of a connection's patches of one key.
    func first(of key: Key, from connection: ConnectionID) -> Portion? {
        lanes[connection]?.first { $0.key == key }.map { $0.portions[$0.head] }
    }

    /// Patches of a connection that wait, of keys that run in pieces or of the others.
    func patchCount(of connection: ConnectionID, inPieces: Bool) -> Int {
        (lanes[connection] ?? []).reduce(0) { $0 + ($1.key.runsInPieces == inPieces ? $1.patchCount : 0) }
    }

    /// The jobs of a connection that have patches in the queue.
    func jobs(of connection: ConnectionID) -> Set<UInt64> {
        Set((lanes[connection] ?? []).flatMap { lane in lane.portions[lane.head...].map(\.job) })
    }

    /// Takes the first `count` patches of one connection and key, which belong to one job.
    mutating func takePiece(_ count: Int, of key: Key, from connection: ConnectionID) -> [Portion] {
        var portions: [Portion] = []
        take(count, of: key, from: connection, into: &portions)
        forget(portions.reduce(0) { $0 + $1.patches.count }, key)
        moveToBack([connection], key)
        return portions
    }

    /// Takes at most `limit` patches of a key.
    mutating func take(atMost limit: Int, of key: Key) -> [Portion] {
        var sharers: [(connection: ConnectionID, waiting: Int, share: Int)] = []
        for connection in ring {
            guard let lane = lanes[connection]?.first(where: { $0.key == key }) else { continue }
            sharers.append((connection, lane.patchCount, 0))
            if sharers.count == limit { break }
        }
        // Equal parts; what those with little to do leave over is dealt out again.
        var left = limit
        var hungry = Array(sharers.indices)
        while left > 0, !hungry.isEmpty {
            let part = max(1, left / hungry.count)
            for index in hungry where left > 0 {
                let count = min(part, sharers[index].waiting - sharers[index].share, left)
                sharers[index].share += count
                left -= count
            }
            hungry.removeAll { sharers[$0].share == sharers[$0].waiting }
        }
        var portions: [Portion] = []
        for sharer in sharers { take(sharer.share, of: key, from: sharer.connection, into: &portions) }
        forget(limit - left, key)
        moveToBack(Set(sharers.map(\.connection)), key)
        return portions
    }

    private mutating func forget(_ count: Int, _ key: Key) {
        patchCount -= count
        if key.runsInPieces { pieceCount -= count }
        let left = (patchCounts[key] ?? 0) - count
        patchCounts[key] = left > 0 ? left : nil
    }

    /// Takes the given jobs of a connection out, wherever they stand.
    mutating func remove(jobs: Set<UInt64>, of connection: ConnectionID) {
        guard let own = lanes.removeValue(forKey: connection) else { return }
        var kept: [Lane] = []
        for lane in own {
            var portions: [Portion] = []
            var removed = 0
            for portion in lane.portions[lane.head...] {
                if jobs.contains(portion.job) {
                    removed += portion.patches.count
                } else {
                    portions.append(portion)
                }
            }
            forget(removed, lane.key)
            guard !portions.isEmpty else { continue }
            let count = portions.reduce(0) { $0 + $1.patches.count }
            kept.append(Lane(key: lane.key, portions: portions, patchCount: count))
        }
        if kept.isEmpty {
            ring.removeAll { $0 == connection }
        } else {
            lanes[connection] = kept
        }
    }

    private mutating func take(
        _ wanted: Int, of key: Key, from connection: ConnectionID, into portions: inout [Portion]
    ) {
        // The lanes are taken out of the dictionary while they change: no copy of their portions.
        guard var own = lanes.removeValue(forKey: connection) else { return }
        if let index = own.firstIndex(where: { $0.key == key }) { own[index].take(wanted, into: &portions) }
        lanes[connection] = own
    }

    private mutating func moveToBack(_ served: Set<ConnectionID>, _ key: Key) {
        var back: [ConnectionID] = []
        ring.removeAll { connection in
            guard served.contains(connection) else { return false }
            back.append(connection)
            return true
        }
        for connection in back {
            guard var own = lanes.removeValue(forKey: connection) else { continue }
            // Within the connection the key that was served goes to the back as well.
            if let index = own.firstIndex(where: { $0.key == key }) {
                let lane = own.remove(at: index)
                if !lane.isEmpty { own.append(lane) }
            }
            guard !own.isEmpty else { continue }
            lanes[connection] = own
            ring.append(connection)
        }
    }
}
