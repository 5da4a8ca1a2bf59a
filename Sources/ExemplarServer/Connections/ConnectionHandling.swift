import Batching
import CPlatform
import Glibc
import JSONRPC
import Platform

/// What a connection does in its turn: from bytes to lines, and from replies to bytes.
extension EventLoop {
    func handle(_ event: Poller.Event, connection token: UInt64) {
        // Gone already, by an event of the same turn.
        guard let connection = connections[token] else { return }
        if !event.ready.isDisjoint(with: .failure) {
            remove(connection)
            return
        }
        // Storage doubles as it grows. What comes to a connection that lingers is not kept.
        let isLong = connection.lingersUntil == nil && connection.accountedInput > ServerConfiguration.fairShare
        let room: MemoryHoldings.LineRoom =
            isLong && event.ready.contains(.read)
            ? shared.memory.roomForLines(growth: connection.accountedInput) : .free
        if room == .later {
            // It is read again by the first sweep that finds room.
            connection.waitsForMemory = true
            setOwedLine(true, connection)
        } else if room == .none, shared.loops.count > 1 {
            // Not first read and then refused: who waits for other loops does not grow meanwhile.
            return makeRoom(for: connection)
        } else if event.ready.contains(.read) {
            switch connection.receive(through: chunk) {
            case .bytes(let count):
                connection.lastReceived = .now
                shared.statistics.update { $0.bytesReceived += UInt64(count) }
            case .none: break
            case .end: connection.hasEnded = true
            case .failure:
                remove(connection)
                return
            }
        }
        advance(connection)
        // What is left are lines that have not ended, or wait for their turn, or for other loops to make room.
        if connections[token] != nil, !connection.waitsForMemory,
            connection.accountedInput > ServerConfiguration.fairShare,
            shared.memory.roomForLines() == .none
        {
            makeRoom(for: connection)
        }
    }

    /// Finds room for a line that has begun, or refuses it.
    private func makeRoom(for connection: Connection) {
        // What connections keep for their next line makes way for the lines that have begun.
        for other in connections.values { releaseStorage(other) }
        guard shared.memory.roomForLines() == .none else { return }
        // Other loops' connections too, which takes until the next sweep.
        let others = shared.outbox.mailboxes.enumerated().filter { $0.offset != index }
        guard !others.isEmpty, connection.askedForRoom == nil else { return refuseLine(connection) }
        for (_, mailbox) in others { mailbox.post([.order(.releaseStorage)]) }
        connection.askedForRoom = .now
        connection.waitsForMemory = true
        setOwedLine(true, connection)
        advance(connection)
    }

    /// Closes a connection whose line finds no room, once it has what it is owed; of what it sends nothing is kept.
    func refuseLine(_ connection: Connection) {
        if let count = shared.refusedLines.withLock({ $0.pass(.now) }) {
            shared.log.warning(
                "closing connections: the lines that clients have begun take too much memory",
                [.init("connections", .int(count))])
        }
        connection.framer = LineFramer(maxLineBytes: connection.framer.maxLineBytes)
        connection.lineStarted = nil
        setOwedLine(false, connection)
        connection.isClosing = true
        connection.lastWords = .overloaded(.milliseconds(100)) {
            "The lines that clients have begun take all the memory that they may: connect again in \($0) ms, or send "
                + "shorter lines."
        }
        advance(connection)
    }

    /// Gives back the storage that a connection keeps for its next line.
    func releaseStorage(_ connection: Connection) {
        guard connection.framer.capacity > 0, connection.framer.pendingByteCount == 0 else { return }
        connection.framer.releaseStorage()
        accountInput(connection)
    }

    /// Takes the requests of a turn, sends what can be sent, and decides what to watch for next.
    func advance(_ connection: Connection) {
        // One that waits for its turn takes no lines, whatever else there is to do for it.
        var left = connection.waitsForTurn ? 0 : ServerConfiguration.requestsPerTurn
        takeLines(connection, &left)
        if connection.inFlight == 0, let error = connection.lastWords {
            connection.lastWords = nil
            answer(.failure(error), unnamed(connection), connection)
        }
        while true {
            guard let sent = connection.flush() else {
                remove(connection)
                return
            }
            account(connection)
            if sent > 0 {
                connection.account(taken: sent)
                connection.lastSent = .now
                shared.statistics.update { $0.bytesSent += UInt64(sent) }
            }
            // Sending may have made room for lines that wait in the framer.
            guard sent > 0, !connection.isPaused, takeLines(connection, &left) else { break }
        }
        accountInput(connection)
        if left <= 0, !connection.waitsForTurn {
            connection.waitsForTurn = true
            backlog.append(connection.id.rawValue)
        }
        if connection.isIdle, !connection.waitsForTurn,
            connection.isClosing || connection.hasEnded || isDraining
        {
            guard finish(connection) else { return }
        }
        let interest = connection.wantedInterest
        if interest != connection.interest {
            if interest.contains(.read), !connection.interest.contains(.read) {
                // The time during which it was not read was the server's, not its client's.
                connection.lastReceived = .now
                if connection.lineStarted != nil { connection.lineStarted = .now }
            }
            connection.interest = interest
            poller.change(connection.descriptor, interest, token: connection.id.rawValue)
        }
        if !connection.hasItsLoop, connection.isAuthorized { passOn(connection) }
    }

    /// Closes a connection that is owed nothing: at once if its client has, else as soon as it does. False once it is
    /// gone.
    func finish(_ connection: Connection) -> Bool {
        guard !connection.hasEnded else {
            remove(connection)
            return false
        }
        if connection.lingersUntil == nil {
            shutdown(connection.descriptor, Int32(SHUT_WR))
            connection.lingersUntil = .now + ServerConfiguration.lingerTimeout
        }
        return true
    }

    /// Goes on with the connections that had more lines than a turn takes; the others have had theirs meanwhile.
    func takeBacklog() {
        let waiting = backlog
        backlog = []
        for token in waiting {
            if let connection = connections[token], connection.waitsForTurn {
                connection.waitsForTurn = false
                advance(connection)
            }
        }
    }

    /// Handles the complete lines that have come, until they held `left` requests, as long as the client takes its
    /// replies. Returns whether there were any.
    @discardableResult
    private func takeLines(_ connection: Connection, _ left: inout Int) -> Bool {
        var hasTaken = false
        while left > 0, !connection.isPaused, !connection.isClosing, connection.lingersUntil == nil,
            let frame = connection.framer.nextLine()
        {
            hasTaken = true
            switch frame {
            case .line(let line): left -= take(line, connection)
            case .tooLong:
                left -= 1
                answer(.failure(tooLong(connection)), unnamed(connection), connection)
            }
        }
        if hasTaken {
            connection.askedForRoom = nil
            if !connection.waitsForMemory { setOwedLine(false, connection) }
        }
        // A client that must take replies first may be long in asking for the next line.
        connection.framer.releaseLine()
        if !connection.framer.isInsideLine {
            connection.lineStarted = nil
        } else if hasTaken || connection.lineStarted == nil {
            connection.lineStarted = connection.lastReceived
        }
        return hasTaken
    }

    private func tooLong(_ connection: Connection) -> ResponseError {
        let limit = connection.framer.maxLineBytes
        guard !connection.isAuthorized, limit < shared.configuration.maxLineBytes else {
            return .lineTooLong(maxLineBytes: limit)
        }
        return ResponseError(
            .unauthorized,
            "This server asks for a token: send the method auth with it first. The line is longer than \(limit) bytes "
                + "and was discarded.")
    }

    /// Takes note of the storage of a line that has not ended, and of what is kept for the next.
    private func accountInput(_ connection: Connection) {
        let capacity = connection.framer.capacity
        shared.memory.addLines(capacity - connection.accountedInput)
        connection.accountedInput = capacity
    }

    /// Closes a connection; what was queued for it is not computed.
    func remove(_ connection: Connection) {
        guard connections.removeValue(forKey: connection.id.rawValue) != nil else { return }
        poller.remove(connection.descriptor)
        shared.log.debug("a connection closed", connection.logged)
        forget(connection)
    }

    /// Counts a connection, and what it holds, no more.
    func forget(_ connection: Connection) {
        setOwedLine(false, connection)
        shared.memory.addWaiting(-connection.accountedOutput)
        shared.memory.addLines(-connection.accountedInput)
        if connection.inFlight > 0 {
            _ = shared.batcher.cancel(connection.id)
            shared.images.cancel(connection.id)
        }
        shared.statistics.update { $0.connections -= 1 }
        figures.connections.add(-1)
    }

    /// Takes note of whether a connection has a line that waits, or has waited, for memory.
    func setOwedLine(_ isOwed: Bool, _ connection: Connection) {
        guard connection.isOwedLine != isOwed else { return }
        connection.isOwedLine = isOwed
        guard isOwed else {
            figures.owedLines.add(-1)
            // A reload may have waited for it.
            shared.wakeServer()
            return
        }
        figures.owedLines.add(1)
    }
}
