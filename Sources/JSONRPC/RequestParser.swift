/// What a line asks for.
public enum Message {
    /// One request, notification or error.
    case single(Incoming)
    /// A JSON-RPC batch of 1 ... 1,000 entries, each to be answered on its own; the replies go out as one array.
    case batch([Incoming])
}

/// One entry of a line: a request to run, or the error to answer.
public struct Incoming {
    /// The id for the reply, or nil for a notification, which has no reply whatever becomes of it.
    public var id: RequestID?
    /// The request, or why there is none.
    public var request: Result<Request, ResponseError>
}

/// Reads lines as JSON-RPC 2.0 requests of this protocol.
public struct RequestParser: ~Copyable {
    /// The most entries of a batch.
    public static let maxBatchCount = 1000

    /// The most values of a line, keys among them: 4,096 explicit transformations have half as many.
    public static let maxValueCount = 1 << 18
    /// The most members of an object: no request has a tenth of that.
    public static let maxMemberCount = 256

    private var scanner = JSONScanner(maxValues: maxValueCount, maxMembers: maxMemberCount)
    private let maxEntries: Int

    /// A parser. It keeps its working storage from line to line: one for each thread is enough.
    ///
    /// - Parameter maxEntries: the most patches or images of a request; with more it is refused before they are read.
    public init(maxEntries: Int = .max) { self.maxEntries = maxEntries }

    /// Reads one line, without its LF. What cannot be read comes back as a single entry with its error and the id null.
    ///
    /// The entries refer to `line` and to this parser: use them before either changes.
    public mutating func parse(_ line: UnsafeRawBufferPointer) -> Message {
        let root: JSONNode
        do {
            root = try scanner.scan(line)
        } catch {
            let data = [JSONValue.Member("offset", .int(error.offset))]
            return .single(.invalid(ResponseError(.parseError, error.message, data: data)))
        }
        guard let elements = root.elements else { return .single(incoming(root)) }
        let count = elements.reduce(0) { count, _ in count + 1 }
        guard (1...Self.maxBatchCount).contains(count) else {
            let message = "A batch holds 1 to \(Self.maxBatchCount) requests, this one \(count)."
            return .single(.invalid(ResponseError(.invalidRequest, message)))
        }
        return .batch(elements.map { incoming($0) })
    }

    private func incoming(_ node: JSONNode) -> Incoming {
        guard let members = node.members else {
            return .invalid(ResponseError(.invalidRequest, "A request is a JSON object."))
        }
        var version: JSONNode?
        var method: JSONNode?
        var params: JSONNode?
        var id: JSONNode?
        for (key, value) in members {
            switch key {
            case "jsonrpc": version = value
            case "method": method = value
            case "params": params = value
            case "id": id = value
            default: break
            }
        }
        let readableID = id.flatMap { RequestID($0) }
        func invalid(_ message: String) -> Incoming {
            .invalid(ResponseError(.invalidRequest, message), id: readableID ?? .null)
        }
        guard version?.isString("2.0") ?? false else {
            return invalid("A request has the member \"jsonrpc\": \"2.0\".")
        }
        guard let name = method?.stringSlice else { return invalid("A request has a member \"method\", a string.") }
        if id != nil, readableID == nil { return invalid("An id is a string, a number or null.") }
        return Incoming(id: readableID, request: Result { () throws(ResponseError) in try request(name, params) })
    }

    private func request(_ name: EncodedString, _ params: JSONNode?) throws(ResponseError) -> Request {
        guard let method = Request.Method.allCases.first(where: { name.isExactly($0.rawValue) }) else {
            let known = Request.Method.allCases.map(\.rawValue).joined(separator: ", ")
            throw ResponseError(.methodNotFound, "There is no method of that name; there are \(known).")
        }
        if let params, params.kind != .object {
            throw .invalidParameter("params", "\"params\" is an object of named parameters.")
        }
        return try Request(method, Parameters(params, maxEntries: maxEntries))
    }
}

extension Incoming {
    /// An entry that is answered with `error`.
    static func invalid(_ error: ResponseError, id: RequestID = .null) -> Incoming {
        Incoming(id: id, request: .failure(error))
    }
}
