import Batching
import ExemplarNetwork
import JSONRPC

/// Checks requests against the models and turns them into work or into an answer; owns no socket.
struct RequestHandler {
    /// What became of a request.
    enum Outcome {
        case result(JSONValue)
        /// A result that is written already.
        case written(ByteBuffer)
        case failure(ResponseError)
        /// To be admitted to the queue.
        case work(InferenceTask, deadline: ContinuousClock.Instant?)
        /// To be decoded first.
        case images(ImageOrder)
        /// The connection may do everything from now on.
        case authorized
    }

    /// Where the server stands.
    enum Readiness: String {
        case loading
        case ready
        case draining
        /// The workers have been at one batch for too long.
        case stalled
    }

    let configuration: ServerConfiguration
    let threads: Int
    let memory: MemoryBudget
    /// In what time the queue should have room for so many patches (`Batcher.refusal`); nil where it has now.
    let refusal: @Sendable (_ patchCount: Int, _ inPieces: Bool?, _ connection: ConnectionID) -> Duration?
    /// The bytes of the token that clients must send; nil without one.
    let token: [UInt8]?

    /// The longest line of who has not shown the token: room for it with every byte escaped, and for little whose
    /// reading costs anything.
    var maxUnauthorizedLineBytes: Int {
        min(configuration.maxLineBytes, ServerConfiguration.unauthorizedLineBytes + 6 * (token?.count ?? 0))
    }

    func outcome(
        of request: Request, models: ModelSet?, isDraining: Bool, readiness: () -> Readiness, isAuthorized: Bool,
        address: ReplyAddress, arrival: ContinuousClock.Instant, statistics: () -> ByteBuffer
    ) -> Outcome {
        /// What is only for those who have shown the token.
        func requireToken() throws(ResponseError) {
            guard isAuthorized else {
                throw ResponseError(
                    .unauthorized, "This server asks for a token: send the method auth with it first.")
            }
        }
        /// What there is only as long as the server has models and takes work.
        func requireModels() throws(ResponseError) -> ModelSet {
            try requireToken()
            if isDraining { throw Self.draining }
            guard let models else {
                throw ResponseError(.notReady, Self.loadingText, data: [.init("reason", "loading")])
            }
            return models
        }
        let arrival = Arrival(address: address, time: arrival)
        do throws(ResponseError) {
            switch request {
            case .live: return .result(Self.ok)
            case .ready:
                try check(readiness())
                return .result(Self.ok)
            case .auth(let token):
                guard matches(token) else {
                    throw ResponseError(.unauthorized, "This token is not the server's; send its own.")
                }
                return .authorized
            case .stats:
                try requireToken()
                return .written(statistics())
            case .model(let name): return .written(try find(name, in: requireModels()).description)
            case .models: return .written(try requireModels().description)
            case .embed(let request):
                return try embedTask(request, find(request.model, in: requireModels()), arrival)
            case .classify(let request):
                return try classifyTask(request, find(request.model, in: requireModels()), arrival)
            case .transform(let request):
                return try transformTask(request, find(request.model, in: requireModels()), arrival)
            }
        } catch {
            return .failure(error)
        }
    }

    /// The queue is full.
    func overloaded(retryAfter: Duration) -> ResponseError {
        .overloaded(retryAfter) { "The queue of \(configuration.queue) patches has no room; try again in \($0) ms." }
    }

    static let ok: JSONValue = ["status": "ok"]

    private static let loadingText = "The models are being loaded; ask again in a moment."
    static let draining = ResponseError(
        .draining, "The server is shutting down; ask another, or again when it is back.")

    private func check(_ readiness: Readiness) throws(ResponseError) {
        let (message, reason): (String, JSONValue)
        switch readiness {
        case .ready: return
        case .loading: (message, reason) = (Self.loadingText, "loading")
        case .draining: (message, reason) = (Self.draining.message, "draining")
        case .stalled: (message, reason) = ("The workers make no progress; ask another server.", "stalled")
        }
        throw ResponseError(.notReady, message, data: [.init("reason", reason)])
    }

    /// Compared in a time that depends on the lengths alone.
    private func matches(_ candidate: String) -> Bool {
        guard let token else { return true }
        let candidate = Array(candidate.utf8)
        var difference = UInt8(candidate.count == token.count ? 0 : 1)
        for index in token.indices { difference |= token[index] ^ (index < candidate.count ? candidate[index] : 0xFF) }
        return difference == 0
    }

    private func find(_ name: String?, in models: ModelSet) throws(ResponseError) -> ServedModel {
        if let served = models[name] { return served }
        let known = models.sorted.map(\.name).joined(separator: ", ")
        throw ResponseError(.unknownName, "There is no model \((name ?? "").excerpt); there are \(known).")
    }
}
