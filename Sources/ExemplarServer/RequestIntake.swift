import Batching
import JSONRPC

/// From lines to requests, and from requests to the queue or to an answer.
extension Server {
    /// Handles a line; returns how many requests it held, a line that is none counting as one.
    func take(_ line: UnsafeRawBufferPointer, _ connection: Connection) -> Int {
        let arrival = ContinuousClock.now
        // What a JSON-RPC batch asks for again is not counted again: all of it is handled at one time.
        var written: ByteBuffer?
        switch parser.parse(line) {
        case .single(let incoming):
            take(incoming, batch: nil, arrival, connection, &written)
            return 1
        case .batch(let entries):
            let expected = entries.count { $0.id != nil }
            guard hasRoom(for: expected * ServerConfiguration.shortReply, connection) else {
                answer(
                    .failure(.tooManyReplies), ReplyAddress(connection: connection.id, id: .null, batch: nil),
                    connection)
                return entries.count
            }
            var batch: UInt64?
            if expected > 0 {
                lastBatch += 1
                batch = lastBatch
                connection.begin(batch: lastBatch, expecting: expected)
            }
            for incoming in entries { take(incoming, batch: batch, arrival, connection, &written) }
            return entries.count
        }
    }

    /// - Parameter statistics: the result of `stats`, once it is written.
    private func take(
        _ incoming: Incoming, batch: UInt64?, _ arrival: ContinuousClock.Instant, _ connection: Connection,
        _ statistics: inout ByteBuffer?
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
        self.statistics.update { $0.requests[request.method, default: 0] += 1 }
        let outcome = handler.outcome(
            of: request, models: models, readiness: readiness, isAuthorized: connection.isAuthorized, address: address,
            arrival: arrival
        ) {
            if let statistics { return statistics }
            var text = ByteBuffer()
            text.append(
                json: self.statistics.json(
                    LoadFigures(batcher, images), memory.holdings, connectionLimit: configuration.maxConnections))
            statistics = text
            return text
        }
        switch outcome {
        case .result(let value): answer(.result(value), address, connection)
        case .written(let text): answer(.written { $0.append(contentsOf: text) }, address, connection)
        case .failure(let error):
            answer(.failure(error), address, connection)
            if case .auth = request {
                connection.wrongTokens += 1
                connection.isClosing = connection.wrongTokens >= ServerConfiguration.maxWrongTokens
            }
        case .authorized:
            connection.isAuthorized = true
            connection.framer.maxLineBytes = configuration.maxLineBytes
            answer(.result(RequestHandler.ok), address, connection)
        case .work(let task, let deadline): admit(task, deadline, connection)
        case .images(let order):
            // An order that waits for the decoder is in flight, and its reply is not known yet.
            settle(images.submit(order), of: order.address, owed: 0, connection) { retryAfter in
                .overloaded(retryAfter) { "Too many images wait to be decoded; try again in \($0) ms." }
            }
        }
    }

    func admit(
        _ task: InferenceTask, _ deadline: ContinuousClock.Instant?, _ connection: Connection, isAccepted: Bool = false
    ) {
        // A long reply takes longer to write than a patch to compute.
        let mayBeBrief = task.replyByteCount <= ServerConfiguration.briefReply
        let admission = batcher.admit(
            InferenceJob(task: task), deadline: deadline, isAccepted: isAccepted, defersBrief: mayBeBrief)
        if mayBeBrief, case .admitted = admission { self.mayBeBrief = true }
        settle(admission, of: task.address, owed: task.replyByteCount, connection) {
            handler.overloaded(retryAfter: $0)
        }
    }

    /// Counts what was admitted, and answers what was not.
    ///
    /// - Parameters:
    ///   - owed: bytes of the reply, at most.
    ///   - refusal: the error for a queue that is full, from the time to wait.
    private func settle<Job, Instant>(
        _ admission: BatchingStateMachine<Job, Instant>.Admission, of address: ReplyAddress, owed: Int,
        _ connection: Connection, refusal: (Duration) -> ResponseError
    ) {
        switch admission {
        case .admitted:
            connection.inFlight += 1
            connection.owedByteCount += owed
        case .refused(let retryAfter):
            answer(.failure(refusal(retryAfter)), address, connection)
        case .expired: answer(.failure(.deadlineExceeded), address, connection)
        case .draining: answer(.failure(ResponseError(.draining, "The server is shutting down.")), address, connection)
        }
    }
}
