import Batching
import JSONRPC

/// From lines to requests, and from requests to the queue or to an answer.
extension EventLoop {
    /// Handles a line; returns how many requests it held, a line that is none counting as one.
    func take(_ line: UnsafeRawBufferPointer, _ connection: Connection) -> Int {
        let arrival = ContinuousClock.now
        // Before every line: whoever was told that the server is ready meets no loop that has no models yet.
        serving.refresh(from: shared.models)
        // What a JSON-RPC batch asks for again is not counted again: all of it is handled at one time.
        var written: ByteBuffer?
        switch parser.parse(line) {
        case .single(let incoming):
            take(incoming, batch: nil, arrival, connection, &written)
            return 1
        case .batch(let entries):
            let expected = entries.count { $0.id != nil }
            guard expected == 0 || hasRoom(for: expected * ServerConfiguration.shortReply, connection) else {
                answer(.failure(.tooManyReplies), unnamed(connection), connection)
                return entries.count
            }
            var batch: UInt64?
            if expected > 0 {
                lastBatch += 1
                batch = lastBatch
                connection.begin(batch: lastBatch, expecting: expected)
            }
            let part = batch.map { BatchPart(number: $0, owedBefore: owedByteCount(connection)) }
            for incoming in entries { take(incoming, batch: part, arrival, connection, &written) }
            return entries.count
        }
    }

    /// - Parameter statistics: the result of `stats`, once it is written.
    private func take(
        _ incoming: Incoming, batch: BatchPart?, _ arrival: ContinuousClock.Instant, _ connection: Connection,
        _ statistics: inout ByteBuffer?
    ) {
        // Nobody would learn what became of a notification, so nothing is computed for it.
        guard let id = incoming.id else { return }
        let address = ReplyAddress(loop: index, connection: connection.id, id: id, batch: batch?.number)
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
        shared.statistics.update { $0.requests[request.method, default: 0] += 1 }
        let outcome = shared.handler.outcome(
            of: request, models: serving.models, isDraining: isDraining, readiness: { shared.observer.readiness },
            isAuthorized: connection.isAuthorized, address: address, arrival: arrival
        ) {
            if let statistics { return statistics }
            var text = ByteBuffer()
            text.append(
                json: shared.statistics.json(
                    LoadFigures(shared.batcher, shared.images), shared.memory.holdings,
                    connectionLimit: shared.configuration.maxConnections))
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
                if let count = shared.wrongTokens.withLock({ $0.pass(.now) }) {
                    shared.log.warning("clients send tokens that are wrong", [.init("tokens", .int(count))])
                }
                connection.isClosing = connection.wrongTokens >= ServerConfiguration.maxWrongTokens
            }
        case .authorized:
            connection.isAuthorized = true
            connection.framer.maxLineBytes = shared.configuration.maxLineBytes
            answer(.result(RequestHandler.ok), address, connection)
        case .work(let task, let deadline):
            guard hasRoom(in: batch, for: task.replyByteCount, connection) else {
                return answer(.failure(.batchTooLong), address, connection)
            }
            admit(task, deadline, connection)
        case .images(let order):
            guard hasRoom(in: batch, for: order.origin.replyByteCount, connection) else {
                return answer(.failure(.batchTooLong), address, connection)
            }
            // An order that waits for the decoder is in flight, and its reply is owed.
            let origin = order.origin
            settle(shared.images.submit(order), of: origin.address, owed: origin.replyByteCount, connection) {
                retryAfter in
                .overloaded(retryAfter) { "Too many images wait to be decoded; try again in \($0) ms." }
            }
        }
    }

    /// The JSON-RPC batch whose entries are being taken.
    private struct BatchPart {
        let number: UInt64
        /// Bytes that the connection was owed when it began.
        let owedBefore: Int
    }

    /// Bytes of replies that wait for a connection, or that it is to get at most.
    private func owedByteCount(_ connection: Connection) -> Int {
        connection.waitingByteCount + connection.owedByteCount
    }

    /// Whether work in a JSON-RPC batch may have so long a reply. Between lines a connection that is owed much is not
    /// read; a batch is taken whole, and what it leads to is together no longer than one reply may be.
    private func hasRoom(in batch: BatchPart?, for byteCount: Int, _ connection: Connection) -> Bool {
        let most = max(shared.configuration.maxReplyBytes, ServerConfiguration.maxPendingOutput)
        return batch.map { owedByteCount(connection) - $0.owedBefore + byteCount <= most } ?? true
    }

    func admit(
        _ task: InferenceTask, _ deadline: ContinuousClock.Instant?, _ connection: Connection, isAccepted: Bool = false
    ) {
        let (admission, isDeferred) = shared.batcher.admit(
            InferenceJob(task: task), deadline: deadline, isAccepted: isAccepted,
            // A long reply takes longer to write than a patch to compute.
            defersBrief: task.replyByteCount <= ServerConfiguration.briefReply)
        mayBeBrief = mayBeBrief || isDeferred
        settle(admission, of: task.address, owed: task.replyByteCount, connection) {
            shared.handler.overloaded(retryAfter: $0)
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
        case .draining: answer(.failure(RequestHandler.draining), address, connection)
        }
    }
}
