/// Whether a connection has to leave room in the queue to others: to those that found none lately.
///
/// Whoever waits gets its turn (`TurnQueue`), but not who is not let in. A client that sends again as soon as it is
/// refused takes what gets free before one that waits for as long as it was told. So from a refusal on, until that
/// client has had time to come back, every other connection is let in only with what fits beside as much again as it
/// has waiting (one whose request takes all that is free at once may still do so): the dynamic threshold of Choudhury
/// and Hahne ("Dynamic queue length thresholds for shared-memory packet switches", IEEE/ACM
/// Transactions on Networking 6(2), 1998) with α = 1. k connections that want everything end at the (k + 1)th part of
/// the queue each, and as much stays free. While nobody else is refused, one may fill it.
struct QueueFairness<Instant: InstantProtocol & Sendable>: Sendable where Instant.Duration == Duration {
    /// Pieces have their own part of the queue, and so their own refusals.
    private var batches = Refusals()
    private var pieces = Refusals()

    /// Until when anybody has to leave room; nil where nobody was refused.
    var end: Instant? {
        guard let end = batches.end else { return pieces.end }
        return pieces.end.map { max($0, end) } ?? end
    }

    /// A connection found no room, and was told to come back.
    mutating func didRefuse(_ connection: ConnectionID, inPieces: Bool, retryAfter: Duration, at now: Instant) {
        // Twice, since clients come late.
        let refusal = Refusals.Refusal(connection: connection, end: now.advanced(by: retryAfter * 2 + .seconds(1)))
        if inPieces { pieces.add(refusal) } else { batches.add(refusal) }
    }

    /// Whether somebody else may come back.
    func appliesTo(_ connection: ConnectionID, inPieces: Bool, at now: Instant) -> Bool {
        (inPieces ? pieces : batches).end(but: connection).map { now < $0 } ?? false
    }

    /// The last one, and the last one of another connection: so that for everybody there is one of somebody else.
    private struct Refusals: Sendable {
        struct Refusal: Sendable {
            let connection: ConnectionID
            let end: Instant
        }

        private var last: Refusal?
        private var other: Refusal?

        var end: Instant? { last.map { max($0.end, other?.end ?? $0.end) } }

        mutating func add(_ refusal: Refusal) {
            if last?.connection != refusal.connection { other = last }
            last = refusal
        }

        func end(but connection: ConnectionID) -> Instant? {
            last?.connection == connection ? other?.end : last?.end
        }
    }
}
