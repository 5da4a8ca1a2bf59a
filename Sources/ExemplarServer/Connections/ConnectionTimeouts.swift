import Batching
import JSONRPC

/// What a client may not take too long for, by the flag that says how long.
enum ConnectionTimeout: String, CaseIterable {
    case read, line, write, idle, auth

    /// For the log.
    var reason: String {
        switch self {
        case .read: "a line stopped half-way"
        case .line: "a line took too long"
        case .write: "its client takes no replies, or too few"
        case .idle: "it was idle"
        case .auth: "no token came"
        }
    }
}

/// Clients that stop in the middle of something.
extension EventLoop {
    /// Closes the connections whose client has stopped in the middle of something, or has not begun.
    func sweep(_ now: ContinuousClock.Instant) {
        unauthorized.removeAll { connections[$0]?.isAuthorized ?? true }
        for connection in connections.values {
            if let end = connection.lingersUntil, end <= now {
                // Closed now, what the client has not taken yet would be lost with whatever it sends next.
                if connection.hasUntaken(since: now - shared.configuration.writeTimeout) { continue }
                shared.log.debug("closing a connection: its client does not close", connection.logged)
                remove(connection)
                continue
            }
            if overdue(connection, now) == .write {
                // The system tells of room when a third of what it holds is taken: who takes little may have taken
                // some.
                advance(connection)
                guard connections[connection.id.rawValue] != nil else { continue }
            }
            guard let limit = overdue(connection, now) else {
                if connection.lastReceived.duration(to: now) > ServerConfiguration.storageTimeout {
                    releaseStorage(connection)
                }
                continue
            }
            end(connection, limit)
        }
        for connection in connections.values where connection.waitsForMemory {
            let room = shared.memory.roomForLines(growth: connection.accountedInput)
            guard room != .later else { continue }
            if room == .none, let asked = connection.askedForRoom, connection.lingersUntil == nil {
                // The others have had time to give back what they can.
                guard asked.duration(to: now) > .milliseconds(100) else { continue }
                connection.waitsForMemory = false
                refuseLine(connection)
                continue
            }
            connection.waitsForMemory = false
            advance(connection)
            // It may have gone, or gone on to another loop, whose it is then.
            guard connections[connection.id.rawValue] != nil, !connection.framer.isInsideLine else { continue }
            setOwedLine(false, connection)
        }
        guard let limit = shared.configuration.authTimeout else { return }
        for token in unauthorized {
            // Whoever has been told the end, after wrong tokens, is not told another.
            guard let connection = connections[token], connection.opened.duration(to: now) > limit,
                !connection.isClosing, connection.lingersUntil == nil
            else { continue }
            turnAway(
                connection, .unauthorized,
                "No token came in time: connect again, and send the method auth at once.")
            end(connection, .auth)
        }
    }

    private func end(_ connection: Connection, _ limit: ConnectionTimeout) {
        shared.log.debug("closing a connection: \(limit.reason)", connection.logged)
        shared.statistics.update { $0.timedOut[limit, default: 0] += 1 }
        remove(connection)
    }

    private func overdue(_ connection: Connection, _ now: ContinuousClock.Instant) -> ConnectionTimeout? {
        guard connection.lingersUntil == nil else { return nil }
        if !connection.output.isEmpty, connection.lastSent.duration(to: now) > shared.configuration.writeTimeout {
            return .write
        }
        // Few bytes now and then would keep a client for hours in room that others need.
        if let debt = connection.debt, debt.since.duration(to: now) > shared.configuration.lineTimeout,
            takesOthersRoom(connection, shared.memory.holdings)
        {
            return .write
        }
        // While it is not read the delay is the server's.
        if let started = connection.lineStarted, !connection.isPaused, !connection.waitsForTurn,
            !connection.waitsForMemory, !connection.hasEnded
        {
            if connection.lastReceived.duration(to: now) > shared.configuration.readTimeout {
                return .read
            }
            if started.duration(to: now) > shared.configuration.lineTimeout { return .line }
        }
        if let limit = shared.configuration.idleTimeout, connection.isIdle, connection.lineStarted == nil,
            max(connection.lastReceived, connection.lastSent).duration(to: now) > limit
        {
            return .idle
        }
        return nil
    }
}
