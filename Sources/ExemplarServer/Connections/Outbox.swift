import Batching
import ExemplarNetwork
import JSONRPC

/// Where a reply goes: a connection and the event loop that has it, the request's id, and the JSON-RPC batch that the
/// request came in, if any.
struct ReplyAddress: Sendable {
    let loop: Int
    let connection: ConnectionID
    let id: RequestID
    let batch: UInt64?

    /// Writes a reply to here: a line, or one of a JSON-RPC batch, which becomes a line as a whole.
    func write(_ content: Response.Content, to reply: inout ByteBuffer) {
        let response = Response(id: id, content: content)
        if batch == nil { response.writeLine(to: &reply) } else { response.write(to: &reply) }
    }
}

/// What other threads hand to an event loop.
enum Delivery: Sendable {
    /// A reply as its address wrote it, and its code where it is an error.
    case reply(InferenceTask, ByteBuffer, ErrorCode?)
    /// The images of a request are decoded, or could not be.
    case decoded(Result<InferenceTask, ResponseError>, ImageOrder.Origin)
    /// The deadline of a request passed while it waited or was computed.
    case expired(InferenceTask)
    /// The server has something for the loop.
    case order(EventLoop.Order)

    /// The loop that it is for; nil where whoever posts it says so.
    fileprivate var loop: Int? {
        switch self {
        case .reply(let task, _, _), .expired(let task): task.address.loop
        case .decoded(_, let origin): origin.address.loop
        case .order: nil
        }
    }
}

/// From the workers to the event loops, in order to each.
final class Outbox: Sendable {
    /// One of each loop.
    let mailboxes: [Mailbox<Delivery>]

    init(loops count: Int) throws(ServerError) {
        var mailboxes: [Mailbox<Delivery>] = []
        for _ in 0..<count { mailboxes.append(try Mailbox()) }
        self.mailboxes = mailboxes
    }

    func post(_ delivery: Delivery) { post([delivery]) }

    /// Posts what a batch led to, and wakes each loop that it is for once.
    func post(_ news: [Delivery]) {
        guard !news.isEmpty else { return }
        if mailboxes.count == 1 { mailboxes[0].post(news) } else { post(news, notTo: nil) }
    }

    /// Posts what is for the other loops, and returns what is for this one.
    func post(_ news: [Delivery], keepingThoseFor loop: Int) -> [Delivery] {
        guard mailboxes.count > 1 else { return news }
        post(news, notTo: loop)
        return news.filter { $0.loop == loop }
    }

    private func post(_ news: [Delivery], notTo loop: Int?) {
        for index in mailboxes.indices where index != loop {
            let part = news.filter { $0.loop == index }
            if !part.isEmpty { mailboxes[index].post(part) }
        }
    }
}

/// What other threads hand to one that waits for descriptors, in order.
final class Mailbox<Item: Sendable>: Sendable {
    let wakeUp: WakeUp
    private let items = Monitor<[Item]>([])

    init() throws(ServerError) { wakeUp = try WakeUp() }

    /// Adds items, and wakes the thread where it is not on its way already; with none, too.
    func post(_ more: [Item]) {
        let wakes = items.withLock { items in
            defer { items.append(contentsOf: more) }
            return items.isEmpty
        }
        if wakes { wakeUp.signal() }
    }

    /// Everything that was posted, in order.
    func takeAll() -> [Item] {
        wakeUp.clear()
        return items.withLock { items in
            defer { items = [] }
            return items
        }
    }
}
