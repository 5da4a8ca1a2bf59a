import Batching
import ExemplarNetwork
import Platform
import Synchronization

/// What the event loops of a server share with each other, the workers and the server itself: everything that any
/// thread may use.
struct SharedState: Sendable {
    let configuration: ServerConfiguration
    let log: Log
    let statistics: Statistics
    let batcher: InferenceBatcher
    let outbox: Outbox
    let images: ImageDecoding
    let memory: MemoryBudget
    let passes: ImagePasses
    let handler: RequestHandler
    let observer: ServerObserver
    let models: ServingModels
    /// The server's own mail: what its thread has to know beside what its event loop gets.
    let news: Mailbox<Server.News>
    /// Connections that are closed for want of memory for their line.
    let refusedLines = Monitor(LogLimit())
    /// Tokens that were not the server's.
    let wrongTokens = Monitor(LogLimit())
    /// One of each event loop.
    let loops: [LoopFigures]

    /// - Parameter token: the bytes of the token that clients must send; nil without one.
    init(_ configuration: ServerConfiguration, threads: Int, token: [UInt8]?) throws(ServerError) {
        self.configuration = configuration
        log = Log(format: configuration.logFormat, level: configuration.logLevel)
        let loopCount = configuration.eventLoops ?? ServerConfiguration.eventLoops(threads: threads)
        loops = (0..<loopCount).map { _ in LoopFigures() }
        outbox = try Outbox(loops: loopCount)
        let news = try Mailbox<Server.News>()
        self.news = news
        statistics = Statistics()
        memory = MemoryBudget(chosen: configuration.memoryLimit)
        images = ImageDecoding(outbox: outbox, queue: configuration.queue)
        var limits = BatchingLimits(maxBatch: configuration.maxBatch, queue: configuration.queue, workers: threads)
        limits.brief = configuration.briefBatch
        limits.crew = min(threads, Crew.most)
        let batcher = InferenceBatcher(limits: limits, now: { .now })
        self.batcher = batcher
        passes = ImagePasses(budget: memory) {
            batcher.retry()
            // What is kept has a timer.
            news.post([])
        }
        handler = RequestHandler(
            configuration: configuration, threads: threads, memory: memory,
            refusal: { batcher.refusal(of: $0, inPieces: $1, for: $2) },
            token: token)
        observer = ServerObserver(
            statistics: statistics, batcher: batcher, images: images, memory: memory,
            connectionLimit: configuration.maxConnections, progressTimeout: configuration.progressTimeout)
        models = ServingModels()
    }

    /// Connections of all loops.
    var connectionCount: Int { loops.reduce(0) { $0 + $1.connections.current } }

    /// The event loop that has fewest connections.
    var leastBusyLoop: Int {
        let counts = loops.map { $0.connections.current }
        return counts.indices.min { counts[$0] < counts[$1] } ?? 0
    }

    /// Makes the server's thread look at where things stand.
    func wakeServer() { news.post([]) }
}

/// The models that serve now. Each event loop has a copy of its own, and asks for another when there is one.
final class ServingModels: Sendable {
    private let current = Monitor<ModelSet?>(nil)
    /// How often they were replaced.
    private let generation = Atomic<Int>(0)

    /// A loop's own copy.
    struct Copy {
        fileprivate(set) var models: ModelSet?
        private var generation = 0

        /// Makes the copy that of the models which serve now.
        mutating func refresh(from serving: ServingModels) {
            let generation = serving.generation.load(ordering: .acquiring)
            guard generation != self.generation else { return }
            self.generation = generation
            models = serving.current.withLock { $0 }
        }
    }

    /// Puts `models` in the others' place, and returns those.
    func replace(with models: ModelSet) -> ModelSet? {
        let old = current.withLock { current in
            defer { current = models }
            return current
        }
        generation.add(1, ordering: .acquiringAndReleasing)
        return old
    }
}
