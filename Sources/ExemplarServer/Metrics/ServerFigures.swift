import Batching
import ExemplarNetwork
import Tensors

/// What a server can tell about itself, read at one moment: the reply to `GET /metrics` before it is text.
struct ServerFigures: Sendable {
    var version: String
    var isReady: Bool
    var models: [ModelDescription]
    var statistics: Statistics.Figures
    var load: LoadFigures
    var memory: MemoryHoldings
    var connectionLimit: Int
    var allocator: AllocatorStatistics?
    var controlGroup: ControlGroupUsage?
    var process: ProcessFigures?
}

/// How much a server has to do at one moment.
struct LoadFigures: Sendable, Equatable {
    var queuedPatches: Int
    /// Of the images over which the network runs, by their area.
    var queuedImagePatches: Int
    var queueLimit: Int
    /// Requests admitted and not yet answered, those whose images are not decoded yet among them.
    var requestsInFlight: Int
    /// Requests whose images are being decoded, or wait for it.
    var requestsDecoding: Int
    var workers: Int
    var idleWorkers: Int
}

extension LoadFigures {
    init(_ batcher: InferenceBatcher, _ images: ImageDecoding) {
        let decoding = images.jobCount
        self = batcher.read { machine in
            LoadFigures(
                queuedPatches: machine.queuedPatchCount - machine.queuedPieceCount,
                queuedImagePatches: machine.queuedPieceCount,
                queueLimit: machine.limits.queue,
                requestsInFlight: machine.jobCount + decoding, requestsDecoding: decoding,
                workers: machine.limits.workers, idleWorkers: machine.idleWorkerCount)
        }
    }
}
