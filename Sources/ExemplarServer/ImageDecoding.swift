import Batching
import JSONRPC
import Platform

/// The thread that decodes images, one request after the other. Connections take turns, as they do for the network.
final class ImageDecoding: Sendable {
    typealias Queue = Batcher<ImageOrder, ContinuousClock.Instant>

    /// Encoded bytes that may wait, those that are being decoded counted.
    static let capacity = 64 << 20

    private let queue: Queue
    private let outbox: Outbox
    /// Encoded bytes of all orders that have not left.
    private let waiting = Monitor(0)

    /// - Parameter queue: the most orders that may wait.
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
            guard waiting + order.byteCount <= Self.capacity else { return false }
            waiting += order.byteCount
            return true
        }
        guard hasRoom else { return .refused(retryAfter: queue.read { $0.timeToCompute() }) }
        let admission = queue.admit(order, deadline: order.deadline)
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
        waiting.withLock { $0 -= orders.reduce(0) { $0 + $1.byteCount } }
    }

    private func run() {
        while let batch = queue.next() {
            let results = batch.slices.map { slice in
                Result { () throws(ResponseError) in try slice.job.task { queue.progress(batch) } }
            }
            let finished = queue.finish(batch)
            leave(finished.completed + finished.expired)
            // A batch is one order, which has left unless it expired or its connection went meanwhile.
            for order in finished.expired {
                outbox.post(.decoded(.failure(.deadlineExceeded), order.address, order.deadline))
            }
            for (order, result) in zip(finished.completed, results) {
                outbox.post(.decoded(result, order.address, order.deadline))
            }
        }
    }
}
