import Batching
import CPlatform
import Glibc
import JSONRPC
import Platform

/// One client's socket, with what it has sent and what it has still to take. Belongs to the event loop.
final class Connection {
    let id: ConnectionID
    let descriptor: Int32
    var framer: LineFramer
    var output = ByteQueue()
    /// Bytes of replies that wait for the rest of their JSON-RPC batch, and of the storage that holds them.
    private(set) var collectedByteCount = 0
    private var collectedCapacity = 0
    /// Not read while all clients together have too much to take.
    var isThrottled = false
    /// Has more complete lines than a turn takes, perhaps, and is not read until they are handled.
    var waitsForTurn = false
    /// Is not read until lines have room again: models are reloaded, or other loops asked to give some back.
    var waitsForMemory = false
    /// Whether the line that waits, or has waited, for memory is still to be taken.
    var isOwedLine = false
    /// What the server has counted of this connection's replies, and of its framer's storage.
    var accountedOutput = 0
    var accountedInput = 0
    /// Requests admitted and not yet answered.
    var inFlight = 0
    /// The client has closed its sending side: what it asked for is still answered.
    var hasEnded = false
    /// To be closed as soon as the output is gone.
    var isClosing = false
    /// Why, to be said once everything else that is owed has been.
    var lastWords: ResponseError?
    /// Whether the client has shown the token, or need not.
    var isAuthorized: Bool
    var wrongTokens = 0
    /// Whether it stays with the event loop that has it: not until the client has shown the token.
    var hasItsLoop = false
    /// When other loops were asked to make room for the line that is being read.
    var askedForRoom: ContinuousClock.Instant?
    /// Bytes of replies that admitted requests will put into the output, at most.
    var owedByteCount = 0
    /// Until when a connection whose sending side is closed waits for its client to close, too: closing it earlier,
    /// with something of the client's unread, would reset it and take back replies that are on their way.
    var lingersUntil: ContinuousClock.Instant?
    /// What the poller watches.
    var interest: Poller.Interest = .read
    /// JSON-RPC batches whose replies are not all there.
    private var batches: [UInt64: BatchReply] = [:]
    let opened: ContinuousClock.Instant
    /// When the last byte came, when the line that is being read began, and when the client last took a byte.
    var lastReceived: ContinuousClock.Instant
    var lineStarted: ContinuousClock.Instant?
    var lastSent: ContinuousClock.Instant
    /// What waited for the client at some time, and how many bytes of that it has still to take; nil where nothing
    /// waits.
    private(set) var debt: (since: ContinuousClock.Instant, byteCount: Int)?
    /// Bytes that the system held for the client when it was last asked.
    private var lastUntaken = Int.max

    init(id: ConnectionID, descriptor: Int32, maxLineBytes: Int, isAuthorized: Bool, now: ContinuousClock.Instant) {
        self.id = id
        self.descriptor = descriptor
        self.isAuthorized = isAuthorized
        framer = LineFramer(maxLineBytes: maxLineBytes)
        opened = now
        lastReceived = now
        lastSent = now
    }

    deinit { close(descriptor) }

    /// How log lines name it.
    var logged: [JSONValue.Member] { [.init("connection", .int(Int(id.rawValue)))] }

    /// Whether the client must take replies before more of its requests are read.
    var isPaused: Bool {
        isThrottled || inFlight >= ServerConfiguration.maxInFlight
            || waitingByteCount + owedByteCount >= ServerConfiguration.maxPendingOutput
    }

    /// Bytes of replies that wait.
    var waitingByteCount: Int { output.count + collectedByteCount }

    /// What they hold of the server's memory: storage is up to four times as large. The little that an empty output
    /// keeps is not counted.
    var waitingCapacity: Int { (output.isEmpty ? 0 : output.capacity) + collectedCapacity }

    func begin(batch: UInt64, expecting count: Int) { batches[batch] = BatchReply(expecting: count) }

    /// Puts a reply, as its address wrote it, into the output; one of a JSON-RPC batch as soon as all are there.
    func append(_ reply: ByteBuffer, batch: UInt64?) {
        guard let batch else { return output.append(reply) }
        countCollected(of: batch, -1)
        let line = batches[batch]?.add(reply)
        if line != nil { batches[batch] = nil }
        countCollected(of: batch, 1)
        if let line { output.append(line) }
    }

    /// Takes note of replies that wait now, or of bytes that the client has just taken.
    func account(taken: Int = 0) {
        guard !output.isEmpty else { return debt = nil }
        guard let debt, taken < debt.byteCount else { return debt = (.now, output.count) }
        self.debt = (debt.since, debt.byteCount - taken)
    }

    /// Whether the system holds bytes for the client, which has taken some since `time`.
    func hasUntaken(since time: ContinuousClock.Instant) -> Bool {
        let untaken = Int(exemplar_untaken_bytes(descriptor))
        if untaken < lastUntaken { lastSent = .now }
        lastUntaken = untaken
        return untaken > 0 && lastSent > time
    }

    private func countCollected(of batch: UInt64, _ sign: Int) {
        guard let collected = batches[batch] else { return }
        collectedByteCount += sign * collected.byteCount
        collectedCapacity += sign * collected.capacity
    }

    /// Whether nothing is owed to the client any more.
    var isIdle: Bool { inFlight == 0 && output.isEmpty }

    /// Whether nothing but the client's next bytes is waited for.
    var isSettled: Bool {
        isIdle && batches.isEmpty && !hasEnded && !isClosing && lingersUntil == nil && !isThrottled && !waitsForTurn
            && !waitsForMemory && !isOwedLine
    }

    /// What the poller should watch now.
    var wantedInterest: Poller.Interest {
        var interest: Poller.Interest = []
        if !hasEnded, lingersUntil != nil || !isClosing && !isPaused && !waitsForTurn && !waitsForMemory {
            interest.insert(.read)
        }
        if !output.isEmpty { interest.insert(.write) }
        return interest
    }

    enum Received {
        case bytes(Int)
        /// Nothing now.
        case none
        /// The client closed its sending side.
        case end
        /// The connection broke.
        case failure
    }

    /// Moves what has come into the framer, through `chunk`.
    func receive(through chunk: UnsafeMutableRawBufferPointer) -> Received {
        while true {
            let count = recv(descriptor, chunk.baseAddress, chunk.count, 0)
            if count > 0 {
                // What comes after the last reply is not looked at.
                if lingersUntil == nil { framer.append(UnsafeRawBufferPointer(rebasing: chunk[..<count])) }
                return .bytes(count)
            }
            if count == 0 { return .end }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .none
            default: return .failure
            }
        }
    }

    /// Sends as much of the output as the client takes now; returns how much, nil when the connection broke.
    func flush() -> Int? {
        var total = 0
        while !output.isEmpty {
            let count = output.withFirstBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count > 0 {
                output.consume(count)
                total += count
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                // Whoever takes nearly all of a long reply and then rests is not to hold all of its storage.
                output.trim(keepingCapacityUpTo: ServerConfiguration.fairShare)
                return total
            default: return nil
            }
        }
        // A connection that rests holds little.
        output.removeAll(keepingCapacityUpTo: ServerConfiguration.keptOutput)
        return total
    }
}
