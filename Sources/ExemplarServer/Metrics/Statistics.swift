import Batching
import JSONRPC
import Tensors

/// What a server counts. Any thread may count.
final class Statistics: Sendable {
    struct Figures: Sendable {
        var requests: [Request.Method: UInt64] = [:]
        var errors: [ErrorCode: UInt64] = [:]
        /// Patches that the network computed, each draw of a transformation being one, and the batches they came in.
        var patches: UInt64 = 0
        var batches: UInt64 = 0
        /// The area, in patches, of the larger images over which it ran.
        var imagePatches: UInt64 = 0
        /// How many batches had at most 1, 2, 4, … patches.
        var batchSizes = [UInt64](repeating: 0, count: 12)
        var queue = Histogram()
        var compute = Histogram()
        var total = Histogram()
        var connectionsOpened: UInt64 = 0
        var connectionsRefused: UInt64 = 0
        var timedOut: [ConnectionTimeout: UInt64] = [:]
        var connections = 0
        var bytesReceived: UInt64 = 0
        var bytesSent: UInt64 = 0
        var reloads: UInt64 = 0
        var failedReloads: UInt64 = 0
    }

    private let figures = Monitor(Figures())
    /// Advancing jemalloc's epoch walks all its arenas: not for each of a thousand pipelined `stats`.
    let allocatorFigures = Cached(for: .milliseconds(100)) { AllocatorStatistics.current() }
    let started = ContinuousClock.now

    func update(_ body: (inout Figures) -> Void) { figures.withLock(body) }

    var current: Figures { figures.withLock { $0 } }

    /// Counts what the network computed of a batch.
    func record(_ computed: Int, of kind: InferenceJob.Key.Kind) {
        figures.withLock {
            switch kind {
            case .patches where computed > 0:
                $0.batches += 1
                $0.patches += UInt64(computed)
                let octave = Int.bitWidth - (computed - 1).leadingZeroBitCount
                $0.batchSizes[min(octave, $0.batchSizes.count - 1)] += 1
            case .images: $0.imagePatches += UInt64(computed)
            // Transformed pixels meet no network.
            case .patches, .pixels: break
            }
        }
    }
}

extension Statistics {
    /// The reply of the method `stats`.
    func json(_ load: LoadFigures, _ memory: MemoryHoldings, connectionLimit: Int) -> JSONValue {
        let figures = current
        func quantiles(_ histogram: Histogram) -> JSONValue {
            func milliseconds(_ fraction: Double) -> JSONValue {
                histogram.quantile(fraction).map { .double($0 * 1000) } ?? .null
            }
            return [
                "count": .int(Int(clamping: histogram.count)), "p50": milliseconds(0.5), "p90": milliseconds(0.9),
                "p99": milliseconds(0.99), "p999": milliseconds(0.999),
            ]
        }
        let requests = figures.requests.sorted { $0.key.rawValue < $1.key.rawValue }
        let errors = figures.errors.sorted { $0.key.rawValue > $1.key.rawValue }
        return [
            "version": .string(Server.version), "uptime_seconds": .double(started.duration(to: .now) / .seconds(1)),
            "requests": .object(requests.map { .init($0.key.rawValue, .int(Int(clamping: $0.value))) }),
            "errors": .object(errors.map { .init(String($0.key.rawValue), .int(Int(clamping: $0.value))) }),
            "patches": .int(Int(clamping: figures.patches)), "batches": .int(Int(clamping: figures.batches)),
            "batch_sizes": batchSizes(figures), "image_patches": .int(Int(clamping: figures.imagePatches)),
            "queue": [
                "depth": .int(load.queuedPatches), "image_depth": .int(load.queuedImagePatches),
                "limit": .int(load.queueLimit),
                "in_flight": .int(load.requestsInFlight), "decoding": .int(load.requestsDecoding),
            ],
            "workers": ["count": .int(load.workers), "idle": .int(load.idleWorkers)],
            "latency_ms": [
                "queue": quantiles(figures.queue), "compute": quantiles(figures.compute),
                "total": quantiles(figures.total),
            ],
            "connections": [
                "open": .int(figures.connections), "opened": .int(Int(clamping: figures.connectionsOpened)),
                "refused": .int(Int(clamping: figures.connectionsRefused)), "limit": .int(connectionLimit),
                "timed_out": .object(
                    ConnectionTimeout.allCases.map {
                        .init($0.rawValue, .int(Int(clamping: figures.timedOut[$0] ?? 0)))
                    }),
            ],
            "bytes": [
                "received": .int(Int(clamping: figures.bytesReceived)), "sent": .int(Int(clamping: figures.bytesSent)),
            ],
            "reloads": [
                "succeeded": .int(Int(clamping: figures.reloads)), "failed": .int(Int(clamping: figures.failedReloads)),
            ],
            "memory": [
                "limit": .int(memory.limit), "models": .int(memory.models), "requests": .int(memory.requests),
                "replies": .int(memory.waiting), "lines": .int(memory.lines), "images": .int(memory.passes),
            ],
            "allocator": allocator,
        ]
    }

    /// How many batches had at most 1, 2, 4, … patches and more than the size before, where there were any.
    private func batchSizes(_ figures: Figures) -> JSONValue {
        let counts = figures.batchSizes.enumerated().filter { $0.element > 0 }
        return .object(counts.map { .init(String(1 << $0.offset), .int(Int(clamping: $0.element))) })
    }

    private var allocator: JSONValue {
        guard let figures = allocatorFigures.value() else { return .null }
        return [
            "allocated": .int(figures.allocated), "active": .int(figures.active), "metadata": .int(figures.metadata),
            "resident": .int(figures.resident), "mapped": .int(figures.mapped), "retained": .int(figures.retained),
            "total_bytes": .int(figures.totalBytes), "total_allocations": .int(figures.totalCount),
        ]
    }
}
