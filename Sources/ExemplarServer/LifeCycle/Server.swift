import Batching
import CPlatform
import ExemplarNetwork
import Glibc
import JSONRPC
import Platform
import Tensors

/// A server from its start to its end: owns the listening sockets, the signals and the models that serve; accepts
/// connections and gives each to an event loop.
///
/// Its thread runs the first of the event loops, too: with one, which is what a few cores keep busy, no connection
/// changes threads.
public final class Server {
    /// Of this program, by semantic versioning.
    public static let version = "0.1.0"

    /// What the poller of the first event loop watches for the server.
    enum Token: UInt64 {
        case news = 1
        case signals
        case tcp
        case unix
    }

    /// What other threads let the server know.
    enum News: Sendable {
        /// The models are loaded, or could not be.
        case models(Result<ModelSet, ModelError>)
        /// Models that others have taken the place of are freed.
        case retired
    }

    let shared: SharedState
    /// The event loop on this thread, and those on threads of their own.
    let loop: EventLoop
    private let others: [EventLoop]
    private var otherThreads: [JoinableThread] = []
    let cores: UsableCores
    private let metrics: HTTPEndpoint?
    let signals: Int32
    /// Files and sockets that the process may have open; nil where the system does not tell.
    private let descriptorLimit: Int?

    var listeners: [Token: Listener] = [:]
    /// The last connection's.
    var lastID = EventLoop.firstConnection
    /// Set while the process is out of descriptors: when to accept again.
    var acceptAgain: ContinuousClock.Instant?
    var exhaustions = LogLimit()
    /// Connections that came when there was no place, until it is known whether somebody has left; and the ping of the
    /// loops by which that is found out.
    var candidates: [Candidate] = []
    var lastPing = 0
    /// What the listening sockets are watched for.
    var listening: Poller.Interest = .read
    /// Until when what images kept is not looked through again.
    private var forgetAgain = ContinuousClock.now
    /// When draining must be over; nil while serving.
    var drainDeadline: ContinuousClock.Instant?
    /// Whether that has been seen to be over.
    var isDrainOver = false
    var status: Int32?
    var models: ModelSet?
    var isLoading = false
    var wantsReload = false
    /// Sets of models that were replaced and are not freed yet.
    var retiringCount = 0
    /// When models were last loaded, or could not be.
    var loadEnded: ContinuousClock.Instant?

    /// Binds the sockets and starts the workers. Models are loaded by `run`.
    ///
    /// - Throws: `ServerError` where an address cannot be had or may not be used, or a token cannot be read.
    public init(_ configuration: ServerConfiguration) throws(ServerError) {
        // Where the file is a pipe nobody knows how long it takes, and the signals still do what they always do.
        let token = try configuration.tokenFile.map(readToken)
        // Before anything else that takes time, so that SIGTERM ends even a server that is loading.
        let watched = [SIGTERM, SIGINT, SIGHUP]
        signals = watched.withUnsafeBufferPointer { exemplar_signal_descriptor($0.baseAddress, Int32($0.count)) }
        guard signals >= 0, exemplar_ignore_write_signals() == 0 else {
            throw ServerError("Cannot watch for signals: \(errorText()).")
        }
        descriptorLimit = raiseDescriptorLimit()
        cores = .current()
        let threads = configuration.threads ?? cores.count
        let crew: Crew?
        do {
            crew = threads > 1 ? try Crew(count: min(threads, Crew.most), startThread: startThread) : nil
        } catch {
            throw ServerError(error.description)
        }
        let shared = try SharedState(configuration, threads: threads, token: token)
        self.shared = shared
        metrics = try configuration.metricsPort.map { port throws(ServerError) in
            try HTTPEndpoint(host: configuration.host, port: port) { shared.observer.answer($0) }
        }
        func makeWorker() -> Worker {
            Worker(
                batcher: shared.batcher, outbox: shared.outbox, statistics: shared.statistics, crew: crew,
                passes: shared.passes, progressInterval: min(.seconds(1), configuration.progressTimeout / 4))
        }
        loop = try EventLoop(0, shared, makeWorker())
        var others: [EventLoop] = []
        for index in shared.loops.indices.dropFirst() { others.append(try EventLoop(index, shared, makeWorker())) }
        self.others = others
        try loop.watch(shared.news.wakeUp.descriptor, token: Token.news.rawValue)
        try loop.watch(signals, token: Token.signals.rawValue)
        try listen()
        try shared.images.start()
        for _ in 0..<shared.batcher.limits.threads { try makeWorker().start() }
        for other in others {
            guard let thread = JoinableThread({ other.run() }) else {
                throw ServerError("Cannot start a thread for connections: \(errorText()).")
            }
            otherThreads.append(thread)
        }
    }

    deinit {
        for candidate in candidates { close(candidate.descriptor) }
        for index in others.indices { order(.stop, to: index + 1) }
        for thread in otherThreads { thread.join() }
        shared.batcher.stop()
        shared.images.stop()
        close(signals)
    }

    private func listen() throws(ServerError) {
        let configuration = shared.configuration
        let listener = try Listener.tcp(host: configuration.host, port: configuration.port)
        listener.allowSilence(of: configuration.writeTimeout)
        guard listener.isLocal || configuration.isInsecure || shared.handler.token != nil else {
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
        try loop.watch(listener.descriptor, token: token.rawValue)
        listeners[token] = listener
    }

    /// Serves until a signal ends it.
    ///
    /// - Returns: the process's exit status: 0 after everything that was admitted has been answered, 1 otherwise.
    public func run() -> Int32 {
        logStart()
        Allocator.returnIdlePages()
        // Before the thread that loads, which is none of those that need little.
        loop.requestShortSlice()
        load()
        while status == nil {
            let events = loop.nextEvents(until: nextTime)
            // New clients last: those who are there are heard before anybody has to make way.
            loop.handle(events)
            for event in events where !isListener(event) { handle(event) }
            settleCandidates()
            for event in events where isListener(event) { handle(event) }
            loop.endTurn()
            runTimers()
        }
        return status ?? 0
    }

    private func logStart() {
        let (configuration, log) = (shared.configuration, shared.log)
        log.info(
            "starting",
            [
                .init("threads", .int(shared.handler.threads)), .init("event_loops", .int(shared.loops.count)),
                .init("affinity", .int(cores.affinity)),
                .init("cpu_quota", cores.quota.map { .double($0) } ?? .null),
                .init("max_batch", .int(configuration.maxBatch)), .init("queue", .int(configuration.queue)),
            ])
        if let metrics { log.info("metrics on \(metrics.name)") }
        let needed =
            configuration.maxConnections + 2 * shared.loops.count + ServerConfiguration.ownDescriptors
        if let descriptorLimit, descriptorLimit < needed {
            log.warning(
                "the process may open \(descriptorLimit) files, too few for --max-connections: raise that limit to "
                    + "\(needed) or more (ulimit -n, LimitNOFILE), or lower --max-connections")
        }
        if let token = shared.handler.token, token.count < ServerConfiguration.shortToken {
            log.warning(
                "the token of --token-file is short, \(token.count) of the "
                    + "\(ServerConfiguration.shortToken) bytes that it should have, and may be guessed: take one such "
                    + "as `openssl rand -hex 16` writes")
        }
    }

    private func isListener(_ event: Poller.Event) -> Bool {
        event.token == Token.tcp.rawValue || event.token == Token.unix.rawValue
    }

    private func handle(_ event: Poller.Event) {
        switch Token(rawValue: event.token) {
        case .news: takeNews()
        case .signals: takeSignals()
        case .tcp: accept(.tcp)
        case .unix: accept(.unix)
        // The loop's.
        case nil: break
        }
    }

    private func takeNews() {
        for news in shared.news.takeAll() {
            switch news {
            case .models(let result): finishLoading(result)
            case .retired: retiringCount -= 1
            }
        }
    }

    /// Has every event loop do something.
    func order(_ order: EventLoop.Order) {
        for index in shared.loops.indices { self.order(order, to: index) }
    }

    func order(_ order: EventLoop.Order, to index: Int) {
        if index == 0 { loop.take(order) } else { shared.outbox.mailboxes[index].post([.order(order)]) }
    }

    // MARK: Timers

    /// When there is something to do beside the loop's own.
    private var nextTime: ContinuousClock.Instant? {
        // Candidates wait for the loops to answer, which wake this thread, or for the next turn.
        let settling: ContinuousClock.Instant? = !candidates.isEmpty && haveAllAnswered ? .now : nil
        return earliest(earliest(acceptAgain, nextEnd, settling), nextReload, nextForgetting)
    }

    private var nextForgetting: ContinuousClock.Instant? { shared.passes.nextStale.map { max($0, forgetAgain) } }

    private func runTimers() {
        let now = ContinuousClock.now
        if isReloadDue { load() }
        if let time = acceptAgain, time <= now {
            acceptAgain = nil
            watchListeners()
        }
        if let time = nextForgetting, time <= now {
            forgetAgain = now + .milliseconds(250)
            // Not here: gigabytes take their time to be unmapped.
            _ = startThread { [passes = shared.passes] in passes.forget(stale: now) }
        }
        if status == nil { judgeDrain(now) }
    }
}

/// Lets the process open as many files as it may without asking anybody: shells allow 1,024, less than the connections
/// that a server takes. Returns how many those are.
private func raiseDescriptorLimit() -> Int? {
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0 else { return nil }
    if limit.rlim_cur < limit.rlim_max {
        let before = limit.rlim_cur
        limit.rlim_cur = limit.rlim_max
        if setrlimit(resource, &limit) != 0 { limit.rlim_cur = before }
    }
    return Int(clamping: limit.rlim_cur)
}

private func readToken(_ path: String) throws(ServerError) -> [UInt8] {
    do {
        return Array(try accessToken(inFile: path).utf8)
    } catch {
        throw ServerError(error.description)
    }
}
