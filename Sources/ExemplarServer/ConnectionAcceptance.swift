import Batching
import Glibc
import JSONRPC
import Platform

/// New connections: taken, refused or put off. Where there is a token, those who have not shown it make way for new
/// ones, so that nobody without it can keep out those who have it.
extension Server {
    func accept(_ token: Token) {
        guard let listener = listeners[token], acceptAgain == nil else { return }
        // A turn's worth, so that a flood of new clients does not hold up the old ones.
        let last = lastToken
        for _ in 0..<64 {
            // Who came in this turn is to be heard before it makes way: the others stay with the poller.
            if connections.count >= configuration.maxConnections, let stranger = oldestStranger(),
                stranger.id.rawValue > last
            {
                return
            }
            switch listener.accept() {
            case .connection(let descriptor): open(descriptor)
            case .none: return
            case .exhausted(let code):
                // The poller would report the same client again and again.
                log.warning("cannot accept: \(errorText(code)); trying again in 100 ms")
                acceptAgain = .now + .milliseconds(100)
                for (token, listener) in listeners { poller.change(listener.descriptor, [], token: token.rawValue) }
                return
            }
        }
    }

    private func open(_ descriptor: Int32) {
        lastToken += 1
        let isAuthorized = handler.token == nil
        let connection = Connection(
            id: ConnectionID(lastToken), descriptor: descriptor,
            maxLineBytes: isAuthorized ? configuration.maxLineBytes : handler.maxUnauthorizedLineBytes,
            isAuthorized: isAuthorized, now: .now)
        if connections.count >= configuration.maxConnections {
            statistics.update { $0.connectionsRefused += 1 }
            guard let stranger = oldestStranger() else {
                turnAway(
                    connection, .tooManyConnections,
                    "The server has \(configuration.maxConnections) connections and takes no more; close some, or "
                        + "raise --max-connections.")
                return
            }
            turnAway(
                stranger, .tooManyConnections,
                "The server has \(configuration.maxConnections) connections, and those that have not sent the token "
                    + "make way for new ones: connect again, and send the method auth at once.")
            remove(stranger)
        }
        guard poller.add(descriptor, .read, token: lastToken) else {
            log.warning("cannot watch a new connection, which is closed: \(errorText())")
            return
        }
        connections[lastToken] = connection
        if !isAuthorized { strangers.append(lastToken) }
        statistics.update {
            $0.connectionsOpened += 1
            $0.connections += 1
        }
    }

    /// Who has been connected for longest without the token.
    private func oldestStranger() -> Connection? {
        let known = strangers.prefix { connections[$0]?.isAuthorized ?? true }
        strangers.removeFirst(known.count)
        return strangers.first.flatMap { connections[$0] }
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
