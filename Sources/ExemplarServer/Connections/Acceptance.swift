import Batching
import Glibc
import JSONRPC
import Platform

/// New connections: each goes to the event loop that has fewest. Where there is a token, all stay with the server's own
/// until they have shown it, and those who have not make way for new ones, so that nobody without it can keep out those
/// who have it.
extension Server {
    /// A connection that came when there was no place.
    struct Candidate {
        let descriptor: Int32
        let id: ConnectionID
    }

    func accept(_ token: Token) {
        guard let listener = listeners[token], acceptAgain == nil else { return }
        let lastBefore = lastID
        // A turn's worth, so that a flood of new clients does not hold up the old ones.
        accepting: for _ in 0..<64 {
            switch listener.accept() {
            case .connection(let descriptor):
                lastID += 1
                let id = ConnectionID(lastID)
                if candidates.isEmpty, hasPlace {
                    give(descriptor, id)
                } else {
                    candidates.append(Candidate(descriptor: descriptor, id: id))
                }
            case .none:
                // Nobody waits: the next time is another, and there are ten in a second at most.
                exhaustions = LogLimit()
                break accepting
            case .exhausted(let code):
                // Candidates have descriptors, and leave some in a moment.
                guard candidates.isEmpty else { break accepting }
                // Who has not shown the token makes way here, too, where that gives a descriptor of this process's; but
                // not who came in this turn.
                if code == EMFILE, let oldest = loop.oldestUnauthorized(), oldest.id.rawValue <= lastBefore,
                    loop.makeWay()
                {
                    shared.statistics.update { $0.connectionsRefused += 1 }
                    continue
                }
                // The poller would report the same client again and again.
                if let count = exhaustions.pass(.now) {
                    shared.log.warning(
                        "cannot accept: \(errorText(code)); trying again every 100 ms", [.init("times", .int(count))])
                }
                acceptAgain = .now + .milliseconds(100)
                break accepting
            }
        }
        guard !candidates.isEmpty else { return watchListeners() }
        // Who has left may not have been heard of yet.
        lastPing += 1
        order(.ping(lastPing))
        watchListeners()
    }

    private var hasPlace: Bool { shared.connectionCount < shared.configuration.maxConnections }

    /// Whether every loop has had a turn since the candidates came; the server's own has one now.
    var haveAllAnswered: Bool { shared.loops.dropFirst().allSatisfy { $0.answeredPing.current == lastPing } }

    /// Finds places for candidates, in a turn after that in which they came.
    func settleCandidates() {
        guard let first = candidates.first, haveAllAnswered else { return }
        while let candidate = candidates.first {
            if !hasPlace {
                // Who came in this turn is to be heard before it makes way.
                if let oldest = loop.oldestUnauthorized(), oldest.id.rawValue >= first.id.rawValue { return }
                shared.statistics.update { $0.connectionsRefused += 1 }
                guard loop.makeWay() else {
                    loop.turnAway(candidate.descriptor, candidate.id)
                    candidates.removeFirst()
                    continue
                }
            }
            give(candidate.descriptor, candidate.id)
            candidates.removeFirst()
        }
        watchListeners()
    }

    private func give(_ descriptor: Int32, _ id: ConnectionID) {
        let index = shared.handler.token == nil ? shared.leastBusyLoop : 0
        shared.loops[index].connections.add(1)
        order(.open(descriptor, id), to: index)
    }

    /// Listens unless nobody can be taken now.
    func watchListeners() {
        let interest: Poller.Interest = candidates.isEmpty && acceptAgain == nil ? .read : []
        guard interest != listening else { return }
        listening = interest
        for (token, listener) in listeners {
            loop.poller.change(listener.descriptor, interest, token: token.rawValue)
        }
    }
}
