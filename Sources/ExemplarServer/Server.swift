import Batching
import CPlatform
import ExemplarNetwork
import Glibc
import JSONRPC
import Platform

/// The event loop: owns the sockets, the signals and the timers; hands work to the batcher, takes replies from the
/// outbox.
///
/// One thread runs it. Nothing in it blocks but the waiting for events: models are loaded by a thread of their own, and
/// computed by the workers. Only where all of them are idle and what waits is done in a moment does it compute itself
/// (`EventLoop.swift`), so that a lone request meets no thread that sleeps.
public final class Server {
    /// Of this program, by semantic versioning.
    public static let version = "0.1.0"

    /// Tokens of the poller below this are the server's own; from here on they are connections.
    enum Token: UInt64 {
        case wakeUp
        case signals
        case tcp
        case unix
        case connections
    }

    let configuration: ServerConfiguration
    let log: Log
    let statistics = Statistics()
    let batcher: InferenceBatcher
    let outbox: Outbox
    let poller: Poller
    let handler: RequestHandler
    let images: ImageDecoding
    let cores: UsableCores
    let observer: ServerObserver
    private let metrics: HTTPEndpoint?

    var parser: RequestParser
    var models: ModelSet?
    var connections: [UInt64: Connection] = [:]
    var lastToken = Token.connections.rawValue
    var lastBatch: UInt64 = 0
    let memory: MemoryBudget
    let passes: ImagePasses
    /// Connections that had not shown the token when they were last looked through, the oldest first.
    var strangers: [UInt64] = []
    /// Connections that have had their turn and have more lines.
    var backlog: [UInt64] = []
    /// Connections that are closed for want of memory for their line.
    var refusedLines = LogLimit()
    var listeners: [Token: Listener] = [:]
    /// Set while the process is out of descriptors: when to accept again.
    var acceptAgain: ContinuousClock.Instant?
    var nextSweep: ContinuousClock.Instant?
    /// When draining must be over; nil while serving.
    var drainDeadline: ContinuousClock.Instant?
    var status: Int32?
    var isLoading = false
    var wantsReload = false
    /// Sets of models that were replaced and are not freed yet.
    var retiringCount = 0
    /// When models were last loaded, or could not be.
    var loadEnded: ContinuousClock.Instant?
    /// What is received goes through it: the line of some dozens of patches in one call.
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 64)
    private let signals: Int32
    /// What the event loop computes itself, on its own thread.
    let ownWorker: Worker
    var scratch = Worker.Scratch()
    /// Whether something was admitted for which no worker was woken.
    var mayBeBrief = false
    var anticipation = Anticipation()
    /// Whether the next turn begins by looking out for what comes soon.
    var isAnticipating = false

    /// Binds the sockets and starts the workers. Models are loaded by `run`.
    ///
    /// - Throws: `ServerError` where an address cannot be had or may not be used, or a token cannot be read.
    public init(_ configuration: ServerConfiguration) throws(ServerError) {
        self.configuration = configuration
        log = Log(format: configuration.logFormat, level: configuration.logLevel)
        // Before anything that takes time, so that SIGTERM ends even a server that is loading.
        let watched = [SIGTERM, SIGINT, SIGHUP]
        signals = watched.withUnsafeBufferPointer { exemplar_signal_descriptor($0.baseAddress, Int32($0.count)) }
        guard signals >= 0, exemplar_ignore_sigpipe() == 0 else {
            throw ServerError("Cannot watch for signals: \(errorText()).")
        }
        parser = RequestParser(maxEntries: configuration.queue)
        memory = MemoryBudget(chosen: configuration.memoryLimit)
        cores = .current()
        let threads = configuration.threads ?? cores.count
        let token = try configuration.tokenFile.map(readToken)
        outbox = try Outbox()
        images = ImageDecoding(outbox: outbox, queue: configuration.queue)
        var limits = BatchingLimits(maxBatch: configuration.maxBatch, queue: configuration.queue, workers: threads)
        limits.brief = configuration.briefBatch
        limits.crew = min(threads, Crew.most)
        let batcher = InferenceBatcher(limits: limits, now: { .now })
        self.batcher = batcher
        passes = ImagePasses(budget: memory) { batcher.retry() }
        handler = RequestHandler(
            configuration: configuration, threads: threads, memory: memory,
            refusal: { count, inPieces in batcher.read { $0.refusal(of: count, inPieces: inPieces) } }, token: token)
        let observer = ServerObserver(
            statistics: statistics, batcher: batcher, images: images, memory: memory,
            connectionLimit: configuration.maxConnections, progressTimeout: configuration.progressTimeout)
        self.observer = observer
        metrics = try configuration.metricsPort.map { port throws(ServerError) in
            try HTTPEndpoint(host: configuration.host, port: port) { observer.answer($0) }
        }
        let crew: Crew?
        do {
            crew =
                threads > 1 ? try Crew(count: limits.crew, startThread: startThread) : nil
        } catch {
            throw ServerError(error.description)
        }
        let interval = min(.seconds(1), configuration.progressTimeout / 4)
        ownWorker = Worker(
            batcher: batcher, outbox: outbox, statistics: statistics, crew: crew, passes: passes,
            progressInterval: interval)
        guard let poller = Poller() else { throw ServerError("Cannot watch sockets: \(errorText()).") }
        self.poller = poller
        guard self.poller.add(outbox.wakeUp.descriptor, .read, token: Token.wakeUp.rawValue),
            self.poller.add(signals, .read, token: Token.signals.rawValue)
        else { throw ServerError("Cannot watch descriptors: \(errorText()).") }
        try listen()
        try images.start()
        for _ in 0..<limits.threads {
            try Worker(
                batcher: batcher, outbox: outbox, statistics: statistics, crew: crew, passes: passes,
                progressInterval: interval
            ).start()
        }
    }

    deinit {
        batcher.stop()
        images.stop()
        chunk.deallocate()
        close(signals)
    }

    private func listen() throws(ServerError) {
        let listener = try Listener.tcp(host: configuration.host, port: configuration.port)
        guard listener.isLocal || configuration.isInsecure || handler.token != nil else {
            throw ServerError(
                "\(configuration.host) may be reached from other machines: give --token-file, so that clients must "
                    + "show a token, or --insecure if that is meant.")
        }
        try add(.tcp, listener)
        if let path = configuration.unixPath {
            try add(.unix, Listener.unix(path: path))
        }
    }

    private func add(_ token: Token, _ listener: Listener) throws(ServerError) {
        guard poller.add(listener.descriptor, .read, token: token.rawValue) else {
            throw ServerError("Cannot watch \(listener.name): \(errorText()).")
        }
        listeners[token] = listener
    }

    /// Serves until a signal ends it.
    ///
    /// - Returns: the process's exit status: 0 after everything that was admitted has been answered, 1 otherwise.
    public func run() -> Int32 {
        log.info(
            "starting",
            [
                .init("threads", .int(handler.threads)), .init("affinity", .int(cores.affinity)),
                .init("cpu_quota", cores.quota.map { .double($0) } ?? .null),
                .init("max_batch", .int(configuration.maxBatch)), .init("queue", .int(configuration.queue)),
            ])
        if let metrics { log.info("metrics on \(metrics.name)") }
        if let token = handler.token, token.count < ServerConfiguration.shortToken {
            log.warning(
                "the token of --token-file is short, \(token.count) of the "
                    + "\(ServerConfiguration.shortToken) bytes that it should have, and may be guessed: take one such "
                    + "as `openssl rand -hex 16` writes")
        }
        // Before the thread that loads, which is none of those that need little.
        exemplar_request_slice(100_000)
        load()
        while status == nil {
            let events = nextEvents()
            // New clients last: those who are there are heard before anybody has to make way.
            for event in events where !isListener(event) { handle(event) }
            for event in events where isListener(event) { handle(event) }
            takeBacklog()
            computeIfBrief()
            runTimers()
        }
        return status ?? 0
    }

    private func isListener(_ event: Poller.Event) -> Bool {
        event.token == Token.tcp.rawValue || event.token == Token.unix.rawValue
    }

    private func handle(_ event: Poller.Event) {
        switch Token(rawValue: event.token) {
        case .wakeUp: takeDeliveries()
        case .signals: takeSignals()
        case .tcp: accept(.tcp)
        case .unix: accept(.unix)
        case .connections, nil: handle(event, connection: event.token)
        }
    }

    // MARK: Signals

    private func takeSignals() {
        while true {
            let signal = exemplar_next_signal(signals)
            switch signal {
            case 0: return
            case SIGHUP where drainDeadline == nil:
                log.info("reloading")
                load()
            case SIGTERM, SIGINT: end(signal == SIGTERM ? "SIGTERM" : "SIGINT")
            default: break
            }
        }
    }

    private func end(_ signal: String) {
        guard models != nil else {
            // Nothing was admitted yet.
            log.info("ended by \(signal) before the models were loaded")
            status = 0
            return
        }
        guard drainDeadline == nil else {
            log.warning("ended by a second \(signal): \(unansweredCount) requests are lost")
            status = 1
            return
        }
        drainDeadline = .now + configuration.drainTimeout
        batcher.drain()
        observer.willDrain()
        for listener in listeners.values { poller.remove(listener.descriptor) }
        listeners = [:]
        log.info("draining after \(signal)", [.init("requests", .int(unansweredCount))])
        for connection in connections.values where connection.isIdle { advance(connection) }
    }

    /// Requests that were admitted, or wait for their images to be decoded, and are not answered.
    private var unansweredCount: Int { batcher.read { $0.jobCount } + images.jobCount }

    // MARK: Timers

    func timeout() -> Duration? {
        let times = [
            batcher.read { $0.nextDeadline }, images.nextDeadline, acceptAgain, nextSweep, drainDeadline, nextReload,
        ]
        guard let next = times.compactMap(\.self).min() else { return nil }
        return max(.zero, ContinuousClock.now.duration(to: next))
    }

    private func runTimers() {
        let now = ContinuousClock.now
        for job in batcher.expire() { answerExpired(job.task.address, owed: job.task.replyByteCount) }
        for order in images.expire() { answerExpired(order.address) }
        if isReloadDue { load() }
        if let time = acceptAgain, time <= now {
            acceptAgain = nil
            for (token, listener) in listeners { poller.change(listener.descriptor, .read, token: token.rawValue) }
        }
        if connections.isEmpty, !passes.hasKept {
            nextSweep = nil
        } else if nextSweep.map({ $0 <= now }) ?? true {
            sweep(now)
            if passes.hasStale(now) {
                // Not here: gigabytes take their time to be unmapped.
                _ = startThread { [passes] in passes.forget(stale: now) }
            }
            nextSweep = now + .milliseconds(250)
        }
        guard let deadline = drainDeadline, status == nil else { return }
        // Whoever is owed nothing may stay for a moment, but not keep the server.
        let isOver = deadline <= now
        if batcher.read({ $0.isDrained }), isOver ? connections.values.allSatisfy(\.isIdle) : connections.isEmpty {
            log.info("drained")
            status = 0
        } else if isOver {
            let untaken = connections.values.count { !$0.output.isEmpty }
            log.warning(
                "the drain timeout is over: \(unansweredCount) requests are lost, and what \(untaken) connections "
                    + "have not taken of their replies")
            status = 1
        }
    }

    var readiness: RequestHandler.Readiness { observer.readiness }
}

private func readToken(_ path: String) throws(ServerError) -> [UInt8] {
    do {
        return Array(try accessToken(inFile: path).utf8)
    } catch {
        throw ServerError(error.description)
    }
}
