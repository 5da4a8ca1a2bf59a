import Batching
import Glibc
import JSONRPC
import Platform

/// Connections that the server gives to the loop, and those that make way for them.
extension EventLoop {
    /// Takes a connection, which counts among the loop's already.
    func open(_ descriptor: Int32, _ id: ConnectionID, makesWay: Bool) {
        newest = id.rawValue
        let isAuthorized = shared.handler.token == nil
        let connection = Connection(
            id: id, descriptor: descriptor,
            maxLineBytes: isAuthorized
                ? shared.configuration.maxLineBytes : shared.handler.maxUnauthorizedLineBytes,
            isAuthorized: isAuthorized, now: .now)
        guard !makesWay || makeWay(for: connection) else {
            figures.connections.add(-1)
            return
        }
        guard poller.add(descriptor, .read, token: id.rawValue) else {
            shared.log.warning("cannot watch a new connection, which is closed: \(errorText())")
            figures.connections.add(-1)
            return
        }
        connections[id.rawValue] = connection
        if !isAuthorized { strangers.append(id.rawValue) }
        shared.statistics.update {
            $0.connectionsOpened += 1
            $0.connections += 1
        }
        // It came while the loop was being told.
        if isDraining { advance(connection) }
    }

    /// Closes a connection that has not shown the token for a new one; the new one, and returns false, where there is
    /// none.
    private func makeWay(for connection: Connection) -> Bool {
        shared.statistics.update { $0.connectionsRefused += 1 }
        let limit = shared.configuration.maxConnections
        guard let stranger = oldestStranger() else {
            turnAway(
                connection, .tooManyConnections,
                "The server has \(limit) connections and takes no more; close some, or raise --max-connections.")
            return false
        }
        turnAway(
            stranger, .tooManyConnections,
            "The server has \(limit) connections, and those that have not sent the token make way for new ones: "
                + "connect again, and send the method auth at once.")
        remove(stranger)
        return true
    }

    /// Who has been connected for longest without the token.
    private func oldestStranger() -> Connection? {
        let known = strangers.prefix { connections[$0]?.isAuthorized ?? true }
        strangers.removeFirst(known.count)
        return strangers.first.flatMap { connections[$0] }
    }

    /// The same, if it had a turn in which to be heard.
    func heardStranger() -> LoopFigures.Stranger {
        guard let stranger = oldestStranger() else { return .none }
        return stranger.id.rawValue <= heard ? .connection(stranger.id.rawValue) : .unheard
    }

    /// Tells a client in one line why its connection is closed. The descriptor closes with the connection.
    func turnAway(_ connection: Connection, _ code: ErrorCode, _ reason: String) {
        count(code)
        Response(id: .null, content: .failure(ResponseError(code, reason))).writeLine(to: &connection.output)
        // One attempt: the buffer of a socket that has taken next to nothing has room for a line.
        _ = connection.flush()
        // Unread bytes would turn the end into a reset, and the line might be lost.
        _ = connection.receive(through: chunk)
        shutdown(connection.descriptor, Int32(SHUT_WR))
    }
}
