/// What patches cost, learned from the batches that were computed: a transformation takes microseconds where a large
/// network takes milliseconds.
struct BatchCosts<Key: BatchKey> {
    /// Seconds of one worker for one patch, averaged over recent batches, of each key, and of all that run in pieces or
    /// do not.
    private var costs: [Key: Double] = [:]
    private var usual: [Bool: Double] = [:]

    /// Beyond so many one is forgotten: clients choose keys, by the layers that they ask for.
    private static var most: Int { 256 }

    subscript(key: Key) -> Double? { costs[key] }

    /// Of a key that nothing is known of yet; nil where nothing is known at all.
    func usual(inPieces: Bool) -> Double? { usual[inPieces] }

    mutating func learn(_ key: Key, patchCount: Int, took duration: Duration) {
        guard patchCount > 0 else { return }
        let sample = duration / .seconds(1) / Double(patchCount)
        func average(_ cost: Double?) -> Double { cost.map { $0 + (sample - $0) / 8 } ?? sample }
        if costs.count >= Self.most, costs[key] == nil { costs.remove(at: costs.startIndex) }
        costs[key] = average(costs[key])
        usual[key.runsInPieces] = average(usual[key.runsInPieces])
    }

    /// What those of so many patches that run in pieces, or do not, take of one worker; nil where nothing is known of
    /// what patches cost.
    func seconds(of patchCounts: [Key: Int], inPieces: Bool) -> Double? {
        var seconds = 0.0
        for (key, patchCount) in patchCounts where key.runsInPieces == inPieces {
            guard let cost = self[key] ?? usual(inPieces: inPieces) else { return nil }
            seconds += Double(patchCount) * cost
        }
        return seconds
    }
}
