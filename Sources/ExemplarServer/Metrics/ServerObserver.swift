import Batching
import ExemplarNetwork
import Tensors

/// Where the server stands, for every thread: the event loop says what changes, others read.
final class ServerObserver: Sendable {
    private struct State {
        /// Nil until the models are loaded for the first time.
        var models: [ModelDescription]?
        var isDraining = false
    }

    private let state = Monitor(State())
    private let statistics: Statistics
    private let batcher: InferenceBatcher
    private let images: ImageDecoding
    private let memory: MemoryBudget
    private let connectionLimit: Int
    private let progressTimeout: Duration

    /// - Parameter progressTimeout: how long a batch may not get on before no more work should come.
    init(
        statistics: Statistics, batcher: InferenceBatcher, images: ImageDecoding, memory: MemoryBudget,
        connectionLimit: Int, progressTimeout: Duration
    ) {
        self.images = images
        self.progressTimeout = progressTimeout
        self.statistics = statistics
        self.batcher = batcher
        self.memory = memory
        self.connectionLimit = connectionLimit
    }

    /// Takes note that work can be done with these models from now on.
    func didLoad(_ models: [ModelDescription]) { state.withLock { $0.models = models } }

    /// Takes note that no more work is taken.
    func willDrain() { state.withLock { $0.isDraining = true } }

    var readiness: RequestHandler.Readiness {
        let (isLoaded, isDraining) = state.withLock { ($0.models != nil, $0.isDraining) }
        if isDraining { return .draining }
        if !isLoaded { return .loading }
        let oldest = batcher.read { $0.oldestProgress }
        let isStalled = oldest.map { $0.duration(to: .now) > progressTimeout } ?? false
        return isStalled ? .stalled : .ready
    }

    func figures() -> ServerFigures {
        ServerFigures(
            version: Server.version, isReady: readiness == .ready, models: state.withLock { $0.models } ?? [],
            statistics: statistics.current, load: LoadFigures(batcher, images), memory: memory.holdings,
            connectionLimit: connectionLimit,
            allocator: statistics.allocatorFigures.value(), controlGroup: .current(), process: .current())
    }

    /// What is served over HTTP: whether the server lives, whether it takes work, and its figures.
    func answer(_ path: String) -> HTTPEndpoint.Answer? {
        switch path {
        case "/healthz": return .init(status: 200, "ok")
        case "/readyz":
            let readiness = readiness
            return readiness == .ready ? .init(status: 200, "ok") : .init(status: 503, readiness.rawValue)
        case "/metrics":
            return .init(status: 200, contentType: Exposition.contentType, body: figures().exposition)
        default: return nil
        }
    }
}
