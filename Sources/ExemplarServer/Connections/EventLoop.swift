import Batching
import CPlatform
import ExemplarNetwork
import Glibc
import JSONRPC
import Platform

/// Owns connections and their timers: hands work to the batcher, takes replies from the outbox.
///
/// One thread runs it: the first loop's is the server's own, which owns the signals and the listening sockets, too
/// (`Server.run`); of the others each has one of its own (`run`). Nothing in it blocks but the waiting for events:
/// models are loaded by a thread of their own, and computed by the workers. Only where all of them are idle and what
/// waits is done in a moment does it compute itself (`EventWaiting.swift`), so that a lone request meets no thread that
/// sleeps.
///
/// Unchecked: whoever made it hands it to its thread, and nobody else touches it.
final class EventLoop: @unchecked Sendable {
    /// What the server has for a loop.
    enum Order: Sendable {
        /// A new connection.
        case open(Int32, ConnectionID)
        /// One that another loop had.
        case adopt(Passage)
        /// To be answered by its number as soon as the loop has taken a turn with its connections that began after it
        /// came.
        case ping(Int)
        /// Other models serve.
        case refreshModels
        /// Other loops have lines for which there is no room.
        case releaseStorage
        /// No more work is taken: connections close as soon as they are owed nothing.
        case drain
        /// The thread ends.
        case stop
    }

    /// Tokens of the poller below this are the mailboxes', signals' and listening sockets'; from here on they are
    /// connections.
    static let firstConnection: UInt64 = 16
    private static let mailToken: UInt64 = 0

    let index: Int
    let shared: SharedState
    let poller: Poller
    var parser: RequestParser
    var serving = ServingModels.Copy()
    var connections: [UInt64: Connection] = [:]
    /// The last ping of the server's, and whether it came in this turn.
    private var lastPing = 0
    private var isPingNew = false
    var lastBatch: UInt64 = 0
    /// Connections that had not shown the token when they were last looked through, the oldest first.
    var unauthorized: [UInt64] = []
    /// Connections that have had their turn and have more lines.
    var backlog: [UInt64] = []
    var nextSweep: ContinuousClock.Instant?
    /// Whether the last sweep that was due was left out.
    private var hasLeftOutSweep = false
    var isDraining = false
    private var isStopped = false
    /// What is received goes through it: the line of some dozens of patches in one call.
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 64)
    /// What the event loop computes itself, on its own thread.
    let ownWorker: Worker
    var scratch = Worker.Scratch()
    /// Whether something was admitted for which no worker was woken.
    var mayBeBrief = false
    var anticipation = Anticipation()
    /// Whether the next turn begins by looking out for what comes soon.
    var isAnticipating = false

    /// - Parameter index: which of the loops it is; 0 is the server's own.
    init(_ index: Int, _ shared: SharedState, _ ownWorker: Worker) throws(ServerError) {
        self.index = index
        self.shared = shared
        self.ownWorker = ownWorker
        parser = RequestParser(maxEntries: shared.configuration.queue)
        guard let poller = Poller() else { throw ServerError(cannotMake("a poller")) }
        self.poller = poller
        try watch(shared.outbox.mailboxes[index].wakeUp.descriptor, token: Self.mailToken)
    }

    deinit { chunk.deallocate() }

    /// Watches a descriptor that is no connection.
    func watch(_ descriptor: Int32, token: UInt64) throws(ServerError) {
        guard poller.add(descriptor, .read, token: token) else {
            throw ServerError("Cannot watch descriptors: \(errorText()).")
        }
    }

    var figures: LoopFigures { shared.loops[index] }

    /// Until the server says that it is over.
    func run() {
        requestShortSlice()
        while !isStopped {
            handle(nextEvents(until: nil))
            endTurn()
        }
    }

    /// Threads that need little at a time are run sooner.
    func requestShortSlice() { exemplar_request_slice(100_000) }

    /// Takes what is the loop's of a turn's events.
    func handle(_ events: [Poller.Event]) {
        for event in events where event.token >= Self.firstConnection { handle(event, connection: event.token) }
        for event in events where event.token == Self.mailToken { takeDeliveries() }
    }

    /// What a turn does after its events.
    func endTurn() {
        takeBacklog()
        computeIfBrief()
        runTimers()
        tellFigures()
    }

    func take(_ order: Order) {
        switch order {
        case .open(let descriptor, let id): open(descriptor, id)
        case .adopt(let passage): adopt(passage)
        case .ping(let number):
            lastPing = number
            isPingNew = true
        case .refreshModels: serving.refresh(from: shared.models)
        case .releaseStorage: for connection in connections.values { releaseStorage(connection) }
        case .drain: drain()
        case .stop: isStopped = true
        }
    }

    func drain() {
        isDraining = true
        for connection in connections.values where connection.isIdle { advance(connection) }
    }

    /// When there is something to do whatever comes.
    var nextTime: ContinuousClock.Instant? {
        earliest(shared.batcher.nextDeadline, shared.images.nextDeadline, nextSweep)
    }

    private func runTimers() {
        let now = ContinuousClock.now
        // Whose timer it is that goes off, the client may be another loop's.
        for job in shared.batcher.expire() { takeOrPass(.expired(job.task)) }
        for order in shared.images.expire() {
            takeOrPass(.decoded(.failure(.deadlineExceeded), order.origin))
        }
        if connections.isEmpty {
            nextSweep = nil
        } else if nextSweep.map({ $0 <= now }) ?? true {
            // A process that stood still, as in a debugger or with its machine, first reads what has come meanwhile.
            hasLeftOutSweep = !hasLeftOutSweep && nextSweep.map { $0.duration(to: now) > .seconds(1) } ?? false
            if !hasLeftOutSweep { sweep(now) }
            nextSweep = now + .milliseconds(250)
        }
    }

    private func takeOrPass(_ delivery: Delivery) { take(shared.outbox.post([delivery], keepingThoseFor: index)) }

    /// Whether a ping waits for its answer; the next turn is not waited for then.
    var owesAnswer: Bool { figures.answeredPing.current != lastPing }

    /// Answers a ping, and lets the server know what a drain waits for.
    private func tellFigures() {
        if isPingNew {
            isPingNew = false
        } else if owesAnswer {
            figures.answeredPing.set(lastPing)
            if index > 0 { shared.wakeServer() }
        }
        guard isDraining else { return }
        figures.busy.set(connections.values.count { !$0.isIdle })
        figures.untaken.set(connections.values.count { !$0.output.isEmpty })
        figures.inFlight.set(connections.values.reduce(0) { $0 + $1.inFlight })
        if index > 0 { shared.wakeServer() }
    }
}
