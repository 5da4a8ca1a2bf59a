import Batching
import JSONRPC
import Platform

/// The thread that decodes images, one file after the other. Connections take turns, as they do for the network.
final class ImageDecoding: Sendable {
    typealias Queue = Batcher<ImageOrder, ContinuousClock.Instant>

    /// Encoded bytes that may wait, those that are being decoded counted.
    static let capacity = 64 << 20

    private let queue: Queue
    private let outbox: Outbox
    private let waiting = Monitor(Waiting())

    /// Encoded bytes of all orders that have not left.
    private struct Waiting {
        var total = 0
        var ofConnection: [ConnectionID: Int] = [:]

        mutating func add(_ byteCount: Int, of connection: ConnectionID) {
            total += byteCount
            let own = ofConnection[connection, default: 0] + byteCount
            ofConnection[connection] = own > 0 ? own : nil
        }
    }

    /// - Parameter queue: the most files that may wait.
    init(outbox: Outbox, queue: Int) {
        self.outbox = outbox
        self.queue = Queue(limits: BatchingLimits(maxBatch: 1, queue: queue, workers: 1), now: { .now })
    }

    func start() throws(ServerError) {
        guard startThread({ self.run() }) else { throw ServerError("Cannot start the image thread: \(errorText()).") }
    }

    func stop() { queue.stop() }

    /// Takes an order in, or says why not.
    func submit(_ order: ImageOrder) -> Queue.StateMachine.Admission {
        let hasRoom = waiting.withLock { waiting in
            // One connection has as much as it leaves to all others, so that none of them finds nothing.
            let own = waiting.ofConnection[order.connection] ?? 0
            guard own + order.byteCount <= Self.capacity - waiting.total else { return false }
            waiting.add(order.byteCount, of: order.connection)
            return true
        }
        guard hasRoom else { return .refused(retryAfter: queue.read { $0.timeToCompute() }) }
        let admission = queue.admit(order, deadline: order.origin.deadline)
        if case .admitted = admission { return admission }
        leave([order])
        return admission
    }

    /// Forgets the orders of a connection that is gone.
    func cancel(_ connection: ConnectionID) { leave(queue.cancel(connection)) }

    /// Orders that have not left.
    var jobCount: Int { queue.read { $0.jobCount } }

    /// When `expire` has something to do, or somewhat earlier.
    var nextDeadline: ContinuousClock.Instant? { queue.nextDeadline }

    /// Lets the orders go whose deadline has passed.
    func expire() -> [ImageOrder] {
        let expired = queue.expire()
        leave(expired)
        return expired
    }

    private func leave(_ orders: [ImageOrder]) {
        guard !orders.isEmpty else { return }
        waiting.withLock { waiting in
            for order in orders { waiting.add(-order.byteCount, of: order.connection) }
        }
    }

    private func run() {
        while let batch = queue.next() {
            for slice in batch.slices {
                let order = slice.job
                order.decode(slice.patches) { queue.progress(batch) }
                // Nobody waits for the turns of its other files.
                guard let failure = order.failure, queue.abandon(slice) else { continue }
                leave([order])
                outbox.post(.decoded(.failure(failure), order.origin))
            }
            let finished = queue.finish(batch)
            leave(finished.completed + finished.expired)
            for order in finished.expired {
                outbox.post(.decoded(.failure(.deadlineExceeded), order.origin))
            }
            for order in finished.completed {
                outbox.post(.decoded(order.result(), order.origin))
            }
        }
    }
}
