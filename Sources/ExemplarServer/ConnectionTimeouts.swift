import Batching
import JSONRPC

/// Clients that stop in the middle of something.
extension EventLoop {
    /// Closes the connections whose client has stopped in the middle of something, or has not begun.
    func sweep(_ now: ContinuousClock.Instant) {
        strangers.removeAll { connections[$0]?.isAuthorized ?? true }
        for connection in connections.values {
            guard let reason = overdue(connection, now) else {
                if connection.lastReceived.duration(to: now) > ServerConfiguration.storageTimeout {
                    releaseStorage(connection)
                }
                continue
            }
            shared.log.debug(
                "closing a connection: \(reason)", [.init("connection", .int(Int(connection.id.rawValue)))])
            remove(connection)
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
        for token in strangers {
            guard let connection = connections[token], connection.opened.duration(to: now) > limit else { continue }
            turnAway(
                connection, .unauthorized,
                "No token came in time: connect again, and send the method auth at once.")
            shared.log.debug("closing a connection: no token came", [.init("connection", .int(Int(token)))])
            remove(connection)
        }
    }

    private func overdue(_ connection: Connection, _ now: ContinuousClock.Instant) -> String? {
        if let end = connection.lingersUntil { return end <= now ? "its client does not close" : nil }
        if !connection.output.isEmpty, connection.lastSent.duration(to: now) > shared.configuration.writeTimeout {
            return "its client takes no replies"
        }
        // While it is not read the delay is the server's.
        if let started = connection.lineStarted, !connection.isPaused, !connection.waitsForTurn,
            !connection.waitsForMemory, !connection.hasEnded
        {
            if connection.lastReceived.duration(to: now) > shared.configuration.readTimeout {
                return "a line stopped half-way"
            }
            if started.duration(to: now) > shared.configuration.lineTimeout { return "a line took too long" }
        }
        if let limit = shared.configuration.idleTimeout, connection.isIdle, connection.lineStarted == nil,
            max(connection.lastReceived, connection.lastSent).duration(to: now) > limit
        {
            return "it was idle"
        }
        return nil
    }
}
