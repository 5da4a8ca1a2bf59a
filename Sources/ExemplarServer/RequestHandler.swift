import Batching
import ExemplarNetwork
import JSONRPC

/// Checks requests against the models and turns them into work or into an answer; owns no socket.
struct RequestHandler {
    /// What became of a request.
    enum Outcome {
        case result(JSONValue)
        case failure(ResponseError)
        /// To be admitted to the queue.
        case work(EmbedTask, deadline: ContinuousClock.Instant?)
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
    /// The bytes of the token that clients must send; nil without one.
    let token: [UInt8]?

    func outcome(
        of request: Request, models: ModelSet?, readiness: Readiness, isAuthorized: Bool, address: ReplyAddress,
        arrival: ContinuousClock.Instant, statistics: () -> JSONValue
    ) -> Outcome {
        do throws(ResponseError) {
            switch request {
            case .live: return .result(Self.ok)
            case .ready:
                try check(readiness)
                return .result(Self.ok)
            case .auth(let token):
                guard matches(token) else { throw ResponseError(.unauthorized, "The token is wrong.") }
                return .authorized
            default: break
            }
            guard isAuthorized else {
                throw ResponseError(
                    .unauthorized, "This server asks for a token: send the method auth with it first.")
            }
            if case .stats = request { return .result(statistics()) }
            if readiness == .draining {
                throw ResponseError(.draining, "The server is shutting down; ask another, or again when it is back.")
            }
            guard let models else {
                throw ResponseError(
                    .notReady, "The models are being loaded; ask again in a moment.",
                    data: [.init("reason", "loading")])
            }
            switch request {
            case .model(let name): return .result(try find(name, in: models).description(threads: threads))
            case .models:
                return .result([
                    "models": .array(models.sorted.map { $0.description(threads: threads) }),
                    "default": .string(models.defaultName),
                ])
            case .embed(let request):
                let task = try task(for: request, models, address, arrival)
                return .work(task, deadline: request.deadline.map { arrival + $0 })
            case .classify, .transform:
                throw ResponseError(
                    .notSupported, "This version does not serve the method \(request.method.rawValue) yet.")
            case .live, .ready, .auth, .stats: return .result(Self.ok)
            }
        } catch {
            return .failure(error)
        }
    }

    static let ok: JSONValue = ["status": "ok"]

    private func check(_ readiness: Readiness) throws(ResponseError) {
        let (message, reason): (String, JSONValue)
        switch readiness {
        case .ready: return
        case .loading: (message, reason) = ("The models are being loaded.", "loading")
        case .draining: (message, reason) = ("The server is shutting down.", "draining")
        case .stalled: (message, reason) = ("The workers make no progress.", "stalled")
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
        throw ResponseError(.unknownName, "There is no model \(name ?? ""); there are \(known).")
    }

    private func task(
        for request: EmbedRequest, _ models: ModelSet, _ address: ReplyAddress, _ arrival: ContinuousClock.Instant
    ) throws(ResponseError) -> EmbedTask {
        let served = try find(request.model, in: models)
        let selection = try selection(request.layers, served.model)
        try checkSupport(request)
        let patch = served.model.configuration.input
        let shape = InputEntries.Shape(height: patch.height, width: patch.width, channels: patch.channels)
        guard case .patches(let type, let givenShape) = request.inputs.kind else {
            throw ResponseError(
                .notSupported, "This version does not take encoded images yet; send pixels as `patches`.")
        }
        if let givenShape, givenShape != shape {
            throw ResponseError(
                .notSupported,
                "This version takes patches of \(shape.height) x \(shape.width) x \(shape.channels) alone.")
        }
        let count = request.inputs.entries.count
        try checkFit(count, dimension: served.model.dimension(of: selection), request.encoding)
        return EmbedTask(
            address: address, served: served, selection: selection, encoding: request.encoding,
            normalize: request.normalize, arrival: arrival,
            pixels: try PixelBlock(request.inputs, type: type, shape: shape))
    }

    private func checkSupport(_ request: EmbedRequest) throws(ResponseError) {
        guard request.pool == .none else {
            throw ResponseError(.notSupported, "This version does not pool features yet.")
        }
        guard request.transform == nil else {
            throw ResponseError(.notSupported, "This version does not transform patches yet.")
        }
    }

    private func selection(_ layers: EmbedRequest.Layers, _ model: Model) throws(ResponseError) -> LayerSelection {
        switch layers {
        case .embedding: return model.embeddingOnly
        case .all: return model.allLayers
        case .named(let names):
            if let selection = model.selection(of: names) { return selection }
            let known = model.description.layers.map(\.name).filter { model.selection(of: [$0]) != nil }
            let wrong = names.first { model.selection(of: [$0]) == nil } ?? ""
            throw ResponseError(
                .unknownName,
                "\(model.configuration.name) has no convolution or linear layer \(wrong); it has \(known.joined(separator: ", "))."
            )
        }
    }

    /// Refuses what could never be served.
    private func checkFit(
        _ count: Int, dimension: Int, _ encoding: EmbedRequest.Encoding
    ) throws(ResponseError) {
        guard count <= configuration.queue else {
            throw .invalidParameter(
                "patches",
                "\(count) patches are more than the queue ever holds, \(configuration.queue): split the request, or raise "
                    + "the server's --queue.")
        }
        let size = EmbeddingResult.byteCount(count: count, dimension: dimension, encoding: encoding)
        guard size <= configuration.maxReplyBytes else {
            throw .invalidParameter(
                "patches",
                "The reply would have up to \(size) bytes, more than \(configuration.maxReplyBytes): ask for fewer patches "
                    + "or layers, or raise the server's --max-reply-bytes.")
        }
    }
}
