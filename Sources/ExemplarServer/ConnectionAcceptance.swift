import Batching
import Glibc
import JSONRPC
import Platform

/// New connections: taken, refused or put off.
extension Server {
    func accept(_ token: Token) {
        guard let listener = listeners[token], acceptAgain == nil else { return }
        // A turn's worth, so that a flood of new clients does not hold up the old ones.
        for _ in 0..<64 {
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
        guard connections.count < configuration.maxConnections else {
            statistics.update { $0.connectionsRefused += 1 }
            count(.tooManyConnections)
            let error = ResponseError(
                .tooManyConnections,
                "The server has \(configuration.maxConnections) connections and takes no more; close some, or raise "
                    + "--max-connections.")
            Response(id: .null, content: .failure(error)).writeLine(to: &connection.output)
            // One attempt: the buffer of a new socket has room for a line. The descriptor closes with the connection.
            _ = connection.flush()
            // Unread bytes would turn the end into a reset, and the line might be lost.
            _ = connection.receive(through: chunk)
            shutdown(descriptor, Int32(SHUT_WR))
            return
        }
        guard poller.add(descriptor, .read, token: lastToken) else {
            log.warning("cannot watch a new connection, which is closed: \(errorText())")
            return
        }
        connections[lastToken] = connection
        statistics.update {
            $0.connectionsOpened += 1
            $0.connections += 1
        }
    }
}
