import Batching
import CPlatform
import Glibc
import JSONRPC
import Platform

/// Connections that come to the loop, those that make way for them, and those that go on to another.
extension EventLoop {
    /// Takes a connection, which counts among the loop's already.
    func open(_ descriptor: Int32, _ id: ConnectionID) {
        let connection = makeConnection(descriptor, id)
        guard add(connection) else {
            figures.connections.add(-1)
            return
        }
        shared.log.debug("a connection opened", connection.logged)
        connection.hasItsLoop = connection.isAuthorized
        if !connection.isAuthorized { unauthorized.append(id.rawValue) }
        shared.statistics.update {
            $0.connectionsOpened += 1
            $0.connections += 1
        }
    }

    private func makeConnection(_ descriptor: Int32, _ id: ConnectionID) -> Connection {
        let isAuthorized = shared.handler.token == nil
        return Connection(
            id: id, descriptor: descriptor,
            maxLineBytes: isAuthorized
                ? shared.configuration.maxLineBytes : shared.handler.maxUnauthorizedLineBytes,
            isAuthorized: isAuthorized, now: .now)
    }

    private func add(_ connection: Connection) -> Bool {
        guard poller.add(connection.descriptor, connection.interest, token: connection.id.rawValue) else {
            shared.log.warning("cannot watch a new connection, which is closed: \(errorText())")
            return false
        }
        connections[connection.id.rawValue] = connection
        return true
    }

    // MARK: Places

    /// Who has been connected for longest without the token.
    func oldestUnauthorized() -> Connection? {
        let known = unauthorized.prefix { connections[$0]?.isAuthorized ?? true }
        unauthorized.removeFirst(known.count)
        return unauthorized.first.flatMap { connections[$0] }
    }

    /// Closes the connection that has been there for longest without the token; false where there is none.
    func makeWay() -> Bool {
        guard let oldest = oldestUnauthorized() else { return false }
        turnAway(
            oldest, .tooManyConnections,
            "The server takes no more connections, and those that have not sent the token make way for new ones: "
                + "connect again, and send the method auth at once.")
        remove(oldest)
        return true
    }

    /// Closes a new connection for which there is no place.
    func turnAway(_ descriptor: Int32, _ id: ConnectionID) {
        turnAway(
            makeConnection(descriptor, id), .tooManyConnections,
            "The server has \(shared.configuration.maxConnections) connections and takes no more; close some, or raise "
                + "--max-connections.")
    }

    /// Tells a client in one line why its connection is closed. The descriptor closes with the connection.
    func turnAway(_ connection: Connection, _ code: ErrorCode, _ reason: String) {
        count(code)
        shared.log.debug("turning a connection away: error \(code.rawValue)", connection.logged)
        var line = ByteBuffer()
        Response(id: .null, content: .failure(ResponseError(code, reason))).writeLine(to: &line)
        connection.output.append(line)
        // One attempt: the buffer of a socket that has taken next to nothing has room for a line.
        let sent = connection.flush() ?? 0
        // Unread bytes would turn the end into a reset, and the line might be lost.
        var received = 0
        if case .bytes(let count) = connection.receive(through: chunk) { received = count }
        shared.statistics.update {
            $0.bytesSent += UInt64(sent)
            $0.bytesReceived += UInt64(received)
        }
        shutdown(connection.descriptor, Int32(SHUT_WR))
    }

    // MARK: From loop to loop

    /// A connection on its way to another loop.
    struct Passage: @unchecked Sendable {
        // Unchecked: who sends it does not touch it again.
        fileprivate let connection: Connection
    }

    /// Gives a connection that has shown the token to the loop that has fewest, if that is another; as soon as it is
    /// owed nothing, since replies are addressed to the loop.
    func passOn(_ connection: Connection) {
        guard connection.isSettled, !isDraining else { return }
        connection.hasItsLoop = true
        figures.connections.add(-1)
        let other = shared.leastBusyLoop
        shared.loops[other].connections.add(1)
        guard other != index else { return }
        connections[connection.id.rawValue] = nil
        poller.remove(connection.descriptor)
        shared.outbox.mailboxes[other].post([.order(.adopt(Passage(connection: connection)))])
    }

    func adopt(_ passage: Passage) {
        if !add(passage.connection) { forget(passage.connection) }
    }
}
