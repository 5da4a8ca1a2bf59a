public import JSONRPC

/// A connection to a server: one thread at a time asks, and waits for the answers.
///
/// Requests can be pipelined: `send` several, then `receive` their replies, which come back in any order. While it
/// waits the client reads and writes both, so that no number of requests in flight can bring it to a standstill.
public final class Client {
    /// Where the server is.
    public let address: ServerAddress

    private let socket: Socket
    private var outgoing = ByteBuffer()
    private var framer = LineFramer(maxLineBytes: Client.longestReply)
    private var scanner = JSONScanner()
    private let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
    private var nextID = 1
    private var awaited: Set<RequestID> = []
    /// Replies that came while another was waited for, as they stood on the line.
    private var finished: [RequestID: [UInt8]] = [:]
    /// Why no more replies come.
    private var failure: ClientError?
    private let maxReplyBytes: Int
    /// How long an embedding was that `embed` got last, and by what options.
    private var lastDimension: (options: [JSONValue.Member], dimension: Int)?

    /// The longest reply read.
    private static let longestReply = 256 << 20
    /// The longest line sent: the server's default limit.
    private static let maxRequestBytes = 4 << 20
    /// How many patches `embed` puts into one request, and how many such requests it has in flight: together well below
    /// the server's queue.
    private static let (patchesPerRequest, requestsInFlight) = (256, 4)

    /// Connects to the server at `address`.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait while nothing moves, for the connection and for each reply.
    ///   - maxReplyBytes: the server's limit for a reply, below which `embed` keeps what it asks for.
    public init(
        connectingTo address: ServerAddress = .default, timeout: Duration = .seconds(30), maxReplyBytes: Int = 64 << 20
    ) throws(ClientError) {
        self.address = address
        self.maxReplyBytes = maxReplyBytes
        socket = try Socket(connectingTo: address, timeout: timeout)
    }

    deinit { chunk.deallocate() }

    /// Asks for `method` and waits for its result.
    public func call(_ method: String, _ params: [JSONValue.Member] = []) throws(ClientError) -> JSONValue {
        try receive(try send(method, params))
    }

    /// Sends a request and returns its id without waiting for the reply, which `receive` fetches.
    public func send(_ method: String, _ params: [JSONValue.Member] = []) throws(ClientError) -> RequestID {
        let request = OutgoingRequest(id: newID(), method: method, params: params)
        request.writeLine(to: &outgoing)
        return try sent(request)
    }

    /// Sends patches to embed and returns the id of the request, as `send` does; `receiveEmbeddings` fetches the reply.
    ///
    /// - Parameters:
    ///   - patches: raw pixels, row-major H x W x C, one patch after the other.
    ///   - patchByteCount: the bytes of one patch.
    ///   - options: the other parameters of `embed`, such as `layers`.
    public func sendPatches(
        _ patches: UnsafeRawBufferPointer, patchByteCount: Int, options: [JSONValue.Member] = []
    ) throws(ClientError) -> RequestID {
        guard patchByteCount > 0, patches.count > 0, patches.count % patchByteCount == 0 else {
            throw .badArgument(
                "\(patches.count) bytes are not one or more whole patches of \(patchByteCount) bytes each.")
        }
        let request = OutgoingRequest(id: newID(), method: "embed", params: options)
        request.writeLine(withPatches: patches, patchByteCount: patchByteCount, to: &outgoing)
        return try sent(request)
    }

    /// Waits for the result of the request `id`, which came from `send`.
    public func receive(_ id: RequestID) throws(ClientError) -> JSONValue {
        try receive(id) { $0.value }
    }

    /// Waits for the result of the request `id`, which came from `sendPatches`.
    public func receiveEmbeddings(_ id: RequestID) throws(ClientError) -> Embeddings {
        try receive(id) { Embeddings(result: $0) }
    }

    /// Embeds any number of patches, sent as several requests where they are too many for one, or for its reply. How
    /// long an embedding is by these options is learned from a first request of one patch.
    ///
    /// - Parameters:
    ///   - patches: raw pixels, row-major H x W x C, one patch after the other.
    ///   - patchByteCount: the bytes of one patch.
    ///   - options: the other parameters of `embed`, such as `layers`.
    public func embed(
        patches: [UInt8], patchByteCount: Int, options: [JSONValue.Member] = []
    ) throws(ClientError) -> Embeddings {
        let result = patches.withUnsafeBytes { patches in
            Result { () throws(ClientError) in try embed(patches, patchByteCount, options) }
        }
        return try result.get()
    }

    private func embed(
        _ patches: UnsafeRawBufferPointer, _ patchByteCount: Int, _ options: [JSONValue.Member]
    ) throws(ClientError) -> Embeddings {
        let byLength = (Self.maxRequestBytes - 4096) / (Base64.encodedCount(max(patchByteCount, 1)) + 3)
        let most = max(1, min(byLength, Self.patchesPerRequest))
        var dimension = lastDimension.flatMap { $0.options == options ? $0.dimension : nil }
        var waiting: [(id: RequestID, patchCount: Int)] = []
        // After an error nobody asks for the other replies.
        defer { for request in waiting { forget(request.id) } }
        var result: Embeddings?
        var start = 0
        // An empty or ragged input goes through once, for `sendPatches` to refuse.
        repeat {
            let count = dimension.map { min(most, patchesPerReply($0, options)) } ?? 1
            let end = min(start + count * max(patchByteCount, 1), patches.count)
            let id = try sendPatches(
                UnsafeRawBufferPointer(rebasing: patches[start..<end]), patchByteCount: patchByteCount,
                options: options)
            waiting.append((id, (end - start) / patchByteCount))
            start = end
            let inFlight = dimension == nil ? 1 : Self.requestsInFlight
            while waiting.count >= inFlight || start == patches.count, let request = waiting.first {
                let part = try receiveEmbeddings(request.id)
                waiting.removeFirst()
                guard part.values.count == request.patchCount * part.dimension else {
                    throw .notThisProtocol(address, reason: "it did not answer with an embedding for each patch")
                }
                dimension = part.dimension
                lastDimension = (options, part.dimension)
                if result == nil {
                    result = part
                } else if result?.append(part) != true {
                    throw .modelChanged(address)
                }
            }
        } while start < patches.count
        guard let result else { throw .badArgument("There are no patches to embed.") }
        return result
    }

    /// Patches whose embeddings are together so short that the replies in flight are no longer than one may be.
    private func patchesPerReply(_ dimension: Int, _ options: [JSONValue.Member]) -> Int {
        let isText = options.contains { $0.key == "encoding" && $0.value == "float" }
        let row = EmbeddingResult.rowByteCount(dimension: dimension, encoding: isText ? .float : .base64)
        let transform = options.first { $0.key == "transform" }?.value
        // Which are as long once more.
        let rows = transform?["standard_errors"] == true ? 2 : 1
        return max(1, maxReplyBytes / Self.requestsInFlight / (rows * row))
    }

    /// Drops the reply to `id`, whether it has come or will.
    private func forget(_ id: RequestID) {
        awaited.remove(id)
        finished[id] = nil
    }

    private func newID() -> RequestID {
        defer { nextID += 1 }
        return RequestID(nextID)
    }

    private func sent(_ request: OutgoingRequest) throws(ClientError) -> RequestID {
        awaited.insert(request.id)
        try move()
        return request.id
    }

    /// Waits for the reply to `id` and reads its result.
    private func receive<Value>(_ id: RequestID, _ read: (JSONNode) -> Value?) throws(ClientError) -> Value {
        guard awaited.contains(id) else { throw .badArgument("No request with this id waits for a reply.") }
        while finished[id] == nil {
            if let failure { throw failure }
            if try !move() { try socket.wait(toSend: !outgoing.isEmpty) }
        }
        awaited.remove(id)
        let line = finished.removeValue(forKey: id) ?? []
        let result = line.withUnsafeBytes { line in
            Result { () throws(ClientError) in
                guard let reply = Reply(line: line, scanner: &scanner) else {
                    throw .notThisProtocol(address, reason: "its reply is none of JSON-RPC 2.0")
                }
                switch reply.result {
                case .success(let node):
                    guard let value = read(node) else {
                        throw .notThisProtocol(address, reason: "its result is not the documented one")
                    }
                    return value
                case .failure(let error): throw .server(error)
                }
            }
        }
        return try result.get()
    }

    /// Sends and receives what can be without waiting. Returns whether anything came.
    @discardableResult
    private func move() throws(ClientError) -> Bool {
        if let failure { throw failure }
        do {
            var hasReceived = false
            while try socket.fill(&framer, through: chunk) > 0 {
                hasReceived = true
                while let frame = framer.nextLine() { try take(frame) }
            }
            try socket.flush(&outgoing)
            return hasReceived
        } catch {
            // Replies that came before the connection broke still count; one of them may say why it did.
            if failure == nil { failure = error }
            return true
        }
    }

    private func take(_ frame: Frame) throws(ClientError) {
        guard case .line(let line) = frame else {
            throw .notThisProtocol(address, reason: "it sent a line of more than \(Self.longestReply) bytes")
        }
        guard let reply = Reply(line: line, scanner: &scanner) else {
            throw .notThisProtocol(address, reason: "it sent a line that is no reply of JSON-RPC 2.0")
        }
        if awaited.contains(reply.id) {
            finished[reply.id] = Array(line)
        } else if reply.id == .null, case .failure(let error) = reply.result {
            // The server speaks of the connection: too many of them, or a line too long to have an id.
            throw .server(error)
        }
    }
}

extension Client {
    /// What a model is; nil is the default model.
    public func model(_ name: String? = nil) throws(ClientError) -> JSONValue {
        try call("model", name.map { [.init("model", .string($0))] } ?? [])
    }

    /// Whether the server can take work; its reason comes as an error.
    public func ready() throws(ClientError) { _ = try call("ready") }

    /// Whether the server runs.
    public func live() throws(ClientError) { _ = try call("live") }
}
