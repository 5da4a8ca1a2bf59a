import Batching
import JSONRPC

/// From replies to bytes that wait for their client.
extension EventLoop {
    /// Puts a reply of the event loop's own into the output; where there is no room for it, a short one in its place.
    func answer(_ content: Response.Content, _ address: ReplyAddress, _ connection: Connection) {
        var (content, address) = (content, address)
        var reply = ByteBuffer()
        address.write(content, to: &reply)
        if reply.count > ServerConfiguration.shortReply, !hasRoom(for: reply.count, connection) {
            content = .failure(.tooManyReplies)
            // An id may be megabytes.
            if address.id.json.count > ServerConfiguration.shortReply {
                address = ReplyAddress(
                    loop: index, connection: address.connection, id: .null, batch: address.batch)
            }
            reply = ByteBuffer()
            address.write(content, to: &reply)
        }
        if case .failure(let error) = content { count(error.code) }
        append(reply, address, connection)
    }

    /// Whether the event loop may put so many bytes of replies of its own into a client's output: what workers write
    /// has had its room since it was admitted. A client that takes its replies is always heard.
    func hasRoom(for byteCount: Int, _ connection: Connection) -> Bool {
        let holdings = shared.memory.holdings
        return connection.waitingByteCount + byteCount <= fairOutput(holdings)
            || holdings.hasRoomForRequest(byteCount)
    }

    /// Bytes of replies that any connection may have waiting, whatever those of all together hold.
    private func fairOutput(_ holdings: MemoryHoldings) -> Int {
        let share = holdings.capacities.requests / 2 / max(1, shared.connectionCount)
        // As much as a connection keeps anyway: `stats` is answered in the middle of a reload, too.
        return min(ServerConfiguration.fairShare, max(ServerConfiguration.keptOutput, share))
    }

    func append(_ reply: ByteBuffer, _ address: ReplyAddress, _ connection: Connection) {
        // A client that has been owed nothing may have rested for long: its time to take starts now.
        if connection.output.isEmpty { connection.lastSent = .now }
        connection.append(reply, batch: address.batch)
        connection.account()
        account(connection)
    }

    /// Takes note of the memory that replies to a client hold now. While those to all clients together hold much, one
    /// that has some to take is not read.
    func account(_ connection: Connection) {
        let held = connection.waitingCapacity
        let holdings = shared.memory.addWaiting(held - connection.accountedOutput)
        connection.accountedOutput = held
        connection.isThrottled = takesOthersRoom(connection, holdings)
    }

    /// Whether a connection has more replies waiting than its part, while those of all together hold much.
    func takesOthersRoom(_ connection: Connection, _ holdings: MemoryHoldings) -> Bool {
        connection.waitingByteCount > fairOutput(holdings)
            && holdings.waiting > min(ServerConfiguration.crowdedOutput, holdings.capacities.requests / 4)
    }

    func count(_ code: ErrorCode) { shared.statistics.update { $0.errors[code, default: 0] += 1 } }

    /// An address in a connection for what answers no request, or one whose id is not known.
    func unnamed(_ connection: Connection) -> ReplyAddress {
        ReplyAddress(loop: index, connection: connection.id, id: .null, batch: nil)
    }

    /// Replies that workers have finished, and what the server has for this loop.
    func takeDeliveries() { take(shared.outbox.mailboxes[index].takeAll()) }

    func take(_ deliveries: [Delivery]) {
        var touched: Set<UInt64> = []
        for delivery in deliveries {
            switch delivery {
            case .reply(let task, let reply, let error):
                if let error { count(error) }
                guard let connection = settled(task.address, task.replyByteCount, &touched) else { continue }
                append(reply, task.address, connection)
            case .decoded(let result, let origin):
                guard let connection = settled(origin.address, origin.replyByteCount, &touched) else { continue }
                switch result {
                case .success(let task): admit(task, origin.deadline, connection, isAccepted: true)
                case .failure(let error): answer(.failure(error), origin.address, connection)
                }
            case .expired(let task):
                guard let connection = settled(task.address, task.replyByteCount, &touched) else { continue }
                answer(.failure(.deadlineExceeded), task.address, connection)
            case .order(let order): take(order)
            }
        }
        for token in touched {
            if let connection = connections[token] { advance(connection) }
        }
    }

    /// The connection that a request came on, which is owed it no more; nil where it is gone.
    ///
    /// - Parameter owed: what was counted of its reply when it was admitted.
    private func settled(_ address: ReplyAddress, _ owed: Int, _ touched: inout Set<UInt64>) -> Connection? {
        guard let connection = connections[address.connection.rawValue] else { return nil }
        connection.inFlight -= 1
        connection.owedByteCount -= owed
        touched.insert(address.connection.rawValue)
        return connection
    }
}

extension ResponseError {
    static let tooManyReplies = ResponseError.overloaded(.milliseconds(100)) {
        "Replies take all the memory that they may; try again in \($0) ms."
    }

    /// Again in the same line it would be too much as before.
    static let batchTooLong = ResponseError.overloaded(.zero) { _ in
        "The replies to this batch could be longer than a reply may be: send this request in a line of its own."
    }
}
