import Batching
import Glibc
import JSONRPC

/// From bytes to requests, and from replies to bytes.
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
        let connection = Connection(
            id: ConnectionID(lastToken), descriptor: descriptor, maxLineBytes: configuration.maxLineBytes,
            isAuthorized: handler.token == nil, now: .now)
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
        guard poller.add(descriptor, .read, token: lastToken) else { return }
        connections[lastToken] = connection
        statistics.update {
            $0.connectionsOpened += 1
            $0.connections += 1
        }
    }

    func handle(_ event: Poller.Event, connection token: UInt64) {
        // Gone already, by an event of the same turn.
        guard let connection = connections[token] else { return }
        if !event.ready.isDisjoint(with: .failure) {
            remove(connection)
            return
        }
        if event.ready.contains(.read) {
            switch connection.receive(through: chunk) {
            case .bytes(let count):
                connection.lastReceived = .now
                statistics.update { $0.bytesReceived += UInt64(count) }
            case .none: break
            case .end: connection.hasEnded = true
            case .failure:
                remove(connection)
                return
            }
        }
        guard accountInput(connection) else {
            log.warning("closing a connection: the lines that clients have begun take too much memory")
            remove(connection)
            return
        }
        advance(connection)
    }

    /// Takes every request that may be taken, sends what can be sent, and decides what to watch for next.
    func advance(_ connection: Connection) {
        takeLines(connection)
        while true {
            guard let sent = connection.flush() else {
                remove(connection)
                return
            }
            account(connection)
            if sent > 0 {
                connection.lastSent = .now
                statistics.update { $0.bytesSent += UInt64(sent) }
            }
            // Sending may have made room for lines that wait in the framer.
            guard sent > 0, !connection.isPaused, takeLines(connection) else { break }
        }
        if connection.isIdle, connection.isClosing || connection.hasEnded || drainDeadline != nil {
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
    }

    /// Closes a connection that is owed nothing: at once if its client has, else as soon as it does. False once it is gone.
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

    /// Handles the complete lines that have come, as long as the client takes its replies. Returns whether there were any.
    @discardableResult
    private func takeLines(_ connection: Connection) -> Bool {
        var hasTaken = false
        while !connection.isPaused, !connection.isClosing, connection.lingersUntil == nil,
            let frame = connection.framer.nextLine()
        {
            hasTaken = true
            switch frame {
            case .line(let line): take(line, connection)
            case .tooLong:
                answer(
                    .failure(.lineTooLong(maxLineBytes: configuration.maxLineBytes)),
                    ReplyAddress(connection: connection.id, id: .null, batch: nil), connection)
            }
        }
        if !connection.framer.isInsideLine {
            connection.lineStarted = nil
        } else if hasTaken || connection.lineStarted == nil {
            connection.lineStarted = connection.lastReceived
        }
        return hasTaken
    }

    private func take(_ line: UnsafeRawBufferPointer, _ connection: Connection) {
        let arrival = ContinuousClock.now
        switch parser.parse(line) {
        case .single(let incoming): take(incoming, batch: nil, arrival, connection)
        case .batch(let entries):
            let expected = entries.count { $0.id != nil }
            var batch: UInt64?
            if expected > 0 {
                lastBatch += 1
                batch = lastBatch
                connection.batches[lastBatch] = BatchReply(expecting: expected)
            }
            for incoming in entries { take(incoming, batch: batch, arrival, connection) }
        }
    }

    private func take(
        _ incoming: Incoming, batch: UInt64?, _ arrival: ContinuousClock.Instant, _ connection: Connection
    ) {
        // Nobody would learn what became of a notification, so nothing is computed for it.
        guard let id = incoming.id else { return }
        let address = ReplyAddress(connection: connection.id, id: id, batch: batch)
        // What stands behind the last wrong token in a batch is not looked at.
        guard !connection.isClosing else {
            answer(.failure(ResponseError(.unauthorized, "Too many wrong tokens.")), address, connection)
            return
        }
        let request: Request
        switch incoming.request {
        case .success(let valid): request = valid
        case .failure(let error):
            answer(.failure(error), address, connection)
            return
        }
        statistics.update { $0.requests[request.method, default: 0] += 1 }
        let outcome = handler.outcome(
            of: request, models: models, readiness: readiness, isAuthorized: connection.isAuthorized, address: address,
            arrival: arrival
        ) {
            statistics.json(LoadFigures(batcher), connectionLimit: configuration.maxConnections)
        }
        switch outcome {
        case .result(let value): answer(.result(value), address, connection)
        case .failure(let error):
            answer(.failure(error), address, connection)
            if case .auth = request {
                connection.wrongTokens += 1
                connection.isClosing = connection.wrongTokens >= ServerConfiguration.maxWrongTokens
            }
        case .authorized:
            connection.isAuthorized = true
            answer(.result(RequestHandler.ok), address, connection)
        case .work(let task, let deadline): admit(task, deadline, connection)
        case .images(let order):
            if images.submit(order) {
                connection.inFlight += 1
            } else {
                let error = ResponseError(
                    .overloaded, "Too many images wait to be decoded; try again in 100 ms.",
                    data: [.init("retry_after_ms", 100)])
                answer(.failure(error), address, connection)
            }
        }
    }

    private func admit(
        _ task: InferenceTask, _ deadline: ContinuousClock.Instant?, _ connection: Connection, isAccepted: Bool = false
    ) {
        switch batcher.admit(InferenceJob(task: task), deadline: deadline, isAccepted: isAccepted) {
        case .admitted:
            connection.inFlight += 1
            connection.owedByteCount += task.replyByteCount
        case .refused(let retryAfter):
            answer(.failure(handler.overloaded(retryAfter: retryAfter)), task.address, connection)
        case .expired: answer(.failure(.deadlineExceeded), task.address, connection)
        case .draining:
            answer(.failure(ResponseError(.draining, "The server is shutting down.")), task.address, connection)
        }
    }

    /// Puts a reply of the event loop's own into the output.
    private func answer(_ content: Response.Content, _ address: ReplyAddress, _ connection: Connection) {
        if case .failure(let error) = content { count(error.code) }
        var reply = ByteBuffer()
        Response(id: address.id, content: content).write(to: &reply)
        append(reply, address, connection)
    }

    private func append(_ reply: ByteBuffer, _ address: ReplyAddress, _ connection: Connection) {
        // A client that has been owed nothing may have rested for long: its time to take starts now.
        if connection.output.isEmpty { connection.lastSent = .now }
        defer { account(connection) }
        if let batch = address.batch {
            connection.collectedByteCount += reply.count
            let collected = connection.batches[batch]?.byteCount ?? 0
            guard let line = connection.batches[batch]?.add(reply) else { return }
            connection.collectedByteCount = max(0, connection.collectedByteCount - reply.count - collected)
            connection.batches[batch] = nil
            connection.output.append(contentsOf: line)
        } else {
            connection.output.append(contentsOf: reply)
            connection.output.append(UInt8(ascii: "\n"))
        }
    }

    /// Takes note of how much waits for a client now. While all clients together have much to take, one that has some
    /// is not read.
    private func account(_ connection: Connection) {
        let waiting = connection.output.count + connection.collectedByteCount
        memory.addWaiting(waiting - connection.accountedOutput)
        connection.accountedOutput = waiting
        connection.isThrottled =
            waiting > ServerConfiguration.fairOutput
            && memory.waitingByteCount > ServerConfiguration.crowdedOutput
    }

    /// Takes note of the storage of a line that has not ended. False where all of them together take too much.
    private func accountInput(_ connection: Connection) -> Bool {
        let capacity = connection.framer.capacity
        inputByteCount += capacity - connection.accountedInput
        connection.accountedInput = capacity
        return inputByteCount <= MemoryBudget.capacity || capacity <= ServerConfiguration.fairOutput
    }

    private func count(_ code: ErrorCode) { statistics.update { $0.errors[code, default: 0] += 1 } }

    /// Replies that workers have finished, models that were loaded.
    func takeDeliveries() {
        var touched: Set<UInt64> = []
        for delivery in outbox.takeAll() {
            switch delivery {
            case .reply(let task, let reply, let error):
                if let error { count(error) }
                let address = task.address
                // Its connection may be gone.
                guard let connection = connections[address.connection.rawValue] else { continue }
                connection.inFlight -= 1
                connection.owedByteCount -= task.replyByteCount
                append(reply, address, connection)
                touched.insert(address.connection.rawValue)
            case .decoded(let result, let address, let deadline):
                guard let connection = connections[address.connection.rawValue] else { continue }
                connection.inFlight -= 1
                switch result {
                case .success(let task): admit(task, deadline, connection, isAccepted: true)
                case .failure(let error): answer(.failure(error), address, connection)
                }
                touched.insert(address.connection.rawValue)
            case .expired(let task): answerExpired(task)
            case .models(let result): finishLoading(result)
            }
        }
        for token in touched {
            if let connection = connections[token] { advance(connection) }
        }
    }

    func answerExpired(_ task: InferenceTask) {
        guard let connection = connections[task.address.connection.rawValue] else { return }
        connection.inFlight -= 1
        connection.owedByteCount -= task.replyByteCount
        answer(.failure(.deadlineExceeded), task.address, connection)
        advance(connection)
    }

    /// Closes a connection; what was queued for it is not computed.
    func remove(_ connection: Connection) {
        guard connections.removeValue(forKey: connection.id.rawValue) != nil else { return }
        memory.addWaiting(-connection.accountedOutput)
        inputByteCount -= connection.accountedInput
        poller.remove(connection.descriptor)
        if connection.inFlight > 0 {
            _ = batcher.cancel(connection.id)
            images.cancel(connection.id)
        }
        statistics.update { $0.connections -= 1 }
    }

    /// Closes the connections whose client has stopped in the middle of something.
    func sweep(_ now: ContinuousClock.Instant) {
        for connection in connections.values {
            if let reason = overdue(connection, now) {
                log.debug("closing a connection: \(reason)", [.init("connection", .int(Int(connection.id.rawValue)))])
                remove(connection)
            }
        }
    }

    private func overdue(_ connection: Connection, _ now: ContinuousClock.Instant) -> String? {
        if let end = connection.lingersUntil { return end <= now ? "its client does not close" : nil }
        if !connection.output.isEmpty, connection.lastSent.duration(to: now) > configuration.writeTimeout {
            return "its client takes no replies"
        }
        // While it is not read the delay is the server's.
        if let started = connection.lineStarted, !connection.isPaused, !connection.hasEnded {
            if connection.lastReceived.duration(to: now) > configuration.readTimeout {
                return "a line stopped half-way"
            }
            if started.duration(to: now) > ServerConfiguration.wholeLineTimeout { return "a line took too long" }
        }
        if let limit = configuration.idleTimeout, connection.isIdle, connection.lineStarted == nil,
            max(connection.lastReceived, connection.lastSent).duration(to: now) > limit
        {
            return "it was idle"
        }
        return nil
    }
}
