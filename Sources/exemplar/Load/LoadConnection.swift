import ExemplarClient
import JSONRPC

/// One connection under load. It never waits, and reads of a reply only what `ScannedReply` has.
final class LoadConnection {
    /// A request in flight.
    private struct Pending {
        /// When it should have been sent: latency counts from here.
        let due: ContinuousClock.Instant
        let isCounted: Bool
    }

    private let socket: Socket
    private var outgoing = ByteBuffer()
    private var framer = LineFramer(maxLineBytes: 256 << 20)
    private var pending: [Int: Pending] = [:]
    /// Whether the poller watches for room to send.
    var isWatchedForRoom = false
    /// The connection broke; nothing more comes.
    private(set) var isLost = false

    /// Connects, and shows the token where there is one.
    init(
        to address: ServerAddress, token: String?, timeout: Duration, through chunk: UnsafeMutableRawBufferPointer
    ) throws(ClientError) {
        socket = try Socket(connectingTo: address, timeout: timeout)
        guard let token else { return }
        OutgoingRequest(id: RequestID(0), method: "auth", params: [.init("token", .string(token))])
            .writeLine(to: &outgoing)
        while true {
            try socket.flush(&outgoing)
            if try socket.fill(&framer, through: chunk) > 0, let frame = framer.nextLine() {
                var scanner = JSONScanner()
                guard case .line(let line) = frame, let reply = Reply(line: line, scanner: &scanner) else {
                    throw .notThisProtocol(address, reason: "its first line is no reply")
                }
                if case .failure(let error) = reply.result { throw .server(error) }
                return
            }
            try socket.wait(toSend: !outgoing.isEmpty)
        }
    }

    var descriptor: Int32 { socket.descriptor }
    var inFlight: Int { pending.count }
    var hasToSend: Bool { !outgoing.isEmpty }
    /// Requests in flight that the report counts.
    var countedInFlight: Int { pending.values.count(where: \.isCounted) }

    /// Puts request number `id` into the output.
    func add(_ id: Int, of template: RequestTemplate, due: ContinuousClock.Instant, isCounted: Bool) {
        pending[id] = Pending(due: due, isCounted: isCounted)
        template.write(id, to: &outgoing)
    }

    /// Sends what the server takes now.
    func send() {
        do { try socket.flush(&outgoing) } catch { isLost = true }
    }

    /// Takes the replies that have come.
    ///
    /// - Parameter window: the time in which replies count as throughput.
    func receive(
        through chunk: UnsafeMutableRawBufferPointer, in window: Range<ContinuousClock.Instant>,
        _ tally: inout LoadTally
    ) {
        do {
            // One call: whatever is left makes the descriptor ready again.
            guard try socket.fill(&framer, through: chunk) > 0 else { return }
            let now = ContinuousClock.now
            while let frame = framer.nextLine() { take(frame, now, isInWindow: window.contains(now), &tally) }
        } catch {
            isLost = true
        }
    }

    private func take(
        _ frame: Frame, _ now: ContinuousClock.Instant, isInWindow: Bool, _ tally: inout LoadTally
    ) {
        // A line with no id of ours speaks of the connection, as one too many: it is about to end.
        guard case .line(let line) = frame, let reply = ScannedReply(line), let id = reply.id,
            let request = pending.removeValue(forKey: id)
        else { return }
        tally.record(
            reply.code, latency: request.due.duration(to: now), at: now, isCounted: request.isCounted,
            isInWindow: isInWindow)
    }
}
