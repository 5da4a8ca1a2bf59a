import Batching
import ExemplarNetwork
import JSONRPC

/// Where a reply goes: a connection, the request's id, and the JSON-RPC batch that the request came in, if any.
struct ReplyAddress: Sendable {
    let connection: ConnectionID
    let id: RequestID
    let batch: UInt64?

    /// Writes a reply to here: a line, or one of a JSON-RPC batch, which becomes a line as a whole.
    func write(_ content: Response.Content, to reply: inout ByteBuffer) {
        let response = Response(id: id, content: content)
        if batch == nil { response.writeLine(to: &reply) } else { response.write(to: &reply) }
    }
}

/// What other threads hand to the event loop.
enum Delivery: Sendable {
    /// A reply as its address wrote it, and its code where it is an error.
    case reply(InferenceTask, ByteBuffer, ErrorCode?)
    /// The images of a request are decoded, or could not be.
    case decoded(Result<InferenceTask, ResponseError>, ReplyAddress, ContinuousClock.Instant?)
    /// The deadline of a request passed while it was computed.
    case expired(InferenceTask)
    /// Models that others have taken the place of are freed.
    case retired
    /// The models are loaded, or could not be.
    case models(Result<ModelSet, ModelError>)
}

/// From the workers to the event loop, in order.
final class Outbox: Sendable {
    let wakeUp: WakeUp
    private let deliveries = Monitor<[Delivery]>([])

    init() throws(ServerError) { wakeUp = try WakeUp() }

    func post(_ delivery: Delivery) { post([delivery]) }

    /// Posts what a batch led to, and wakes the event loop once for all of it; where that is nothing, too: that a
    /// worker is idle may be what a drain or a kept embedder waits for.
    func post(_ news: [Delivery]) {
        let wakes = deliveries.withLock { deliveries in
            defer { deliveries.append(contentsOf: news) }
            return deliveries.isEmpty
        }
        if wakes { wakeUp.signal() }
    }

    /// Everything that was posted, in order.
    func takeAll() -> [Delivery] {
        wakeUp.clear()
        return deliveries.withLock { deliveries in
            defer { deliveries = [] }
            return deliveries
        }
    }
}
