import Batching
import JSONRPC
import Platform

/// New connections: each goes to the event loop that has fewest. Where there is a token, those who have not shown it
/// make way for new ones, so that nobody without it can keep out those who have it.
extension Server {
    /// What becomes of the next connection.
    private enum Place {
        /// A loop has it. If it makes way, the loop closes one of its own that has not shown the token; where it has
        /// none any more, the new one.
        case loop(Int, makesWay: Bool)
        /// Who would have to make way is to be heard before.
        case none
    }

    func accept(_ token: Token) {
        guard let listener = listeners[token], acceptAgain == nil else { return }
        // A turn's worth, so that a flood of new clients does not hold up the old ones.
        for _ in 0..<64 {
            // Those for whom there is no place stay with the poller.
            guard case .loop(let index, let makesWay) = place else {
                // The first loop hears its own in its next turn. The others have theirs meanwhile.
                if shared.loops.count > 1 { pauseAccepting(for: .milliseconds(1)) }
                return
            }
            switch listener.accept() {
            case .connection(let descriptor): give(descriptor, to: index, makesWay: makesWay)
            case .none: return
            case .exhausted(let code):
                // The poller would report the same client again and again.
                shared.log.warning("cannot accept: \(errorText(code)); trying again in 100 ms")
                pauseAccepting(for: .milliseconds(100))
                return
            }
        }
    }

    private var place: Place {
        let loops = shared.loops
        guard shared.connectionCount >= shared.configuration.maxConnections else {
            let counts = loops.map { $0.connections.current }
            return .loop(counts.indices.min { counts[$0] < counts[$1] } ?? 0, makesWay: false)
        }
        // Without a token, or where all have shown it, the new one is turned away.
        guard shared.handler.token != nil else { return .loop(0, makesWay: true) }
        let strangers = loops.indices.map { $0 == 0 ? loop.heardStranger() : loops[$0].oldestStranger }
        let oldest = strangers.enumerated().compactMap { index, stranger -> (id: UInt64, index: Int)? in
            if case .connection(let id) = stranger { (id, index) } else { nil }
        }.min { $0.id < $1.id }
        guard let oldest else {
            return strangers.allSatisfy { $0 == .none } ? .loop(0, makesWay: true) : .none
        }
        // One at a time: who makes way for the first is known when the loop has taken it.
        guard loops[oldest.index].arriving.current == 0 else { return .none }
        return .loop(oldest.index, makesWay: true)
    }

    private func give(_ descriptor: Int32, to index: Int, makesWay: Bool) {
        lastID += 1
        let id = ConnectionID(lastID)
        shared.loops[index].connections.add(1)
        guard index > 0 else {
            loop.open(descriptor, id, makesWay: makesWay)
            return
        }
        shared.loops[index].arriving.add(1)
        post(.open(descriptor, id, makesWay: makesWay), to: index)
    }

    private func pauseAccepting(for duration: Duration) {
        acceptAgain = .now + duration
        watchListeners([])
    }

    func watchListeners(_ interest: Poller.Interest) {
        for (token, listener) in listeners {
            loop.poller.change(listener.descriptor, interest, token: token.rawValue)
        }
    }
}
