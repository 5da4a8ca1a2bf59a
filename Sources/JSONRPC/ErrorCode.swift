/// The error codes of the protocol: those of JSON-RPC 2.0 and the server's own.
public enum ErrorCode: Int, Sendable, CaseIterable {
    /// The line is not JSON or not UTF-8, repeats a key in one object, nests deeper than 32, or has too many members or
    /// values.
    case parseError = -32700
    /// JSON, but not a request object.
    case invalidRequest = -32600
    /// No method of that name.
    case methodNotFound = -32601
    /// A parameter is missing, unknown, or not what it must be; `data.param` names it.
    case invalidParams = -32602
    /// The server failed; the request may be sent again. Kept for the protocol: nothing in this server ends so.
    case internalError = -32603
    /// The queue, or memory that requests share, is full; `data.retry_after_ms` says when to try again.
    case overloaded = -32000
    /// The server is shutting down and takes no more work.
    case draining = -32001
    /// A token is configured and this connection has not sent it.
    case unauthorized = -32002
    /// No model or layer of that name.
    case unknownName = -32003
    /// This model or this server cannot do that.
    case notSupported = -32004
    /// Weights are loading, the server is shutting down, or workers make no progress; `data.reason` says which.
    case notReady = -32005
    /// An entry of `images` cannot be used.
    case badImage = -32006
    /// The line passed the limit and was discarded.
    case lineTooLong = -32007
    /// The answer would have come after `deadline_ms`.
    case deadlineExceeded = -32008
    /// The server takes no more connections.
    case tooManyConnections = -32009

    /// The name as documented, such as "parse error".
    public var name: String {
        switch self {
        case .parseError: "parse error"
        case .invalidRequest: "invalid request"
        case .methodNotFound: "method not found"
        case .invalidParams: "invalid params"
        case .internalError: "internal error"
        case .overloaded: "overloaded"
        case .draining: "draining"
        case .unauthorized: "unauthorized"
        case .unknownName: "unknown model or layer"
        case .notSupported: "not supported"
        case .notReady: "not ready"
        case .badImage: "bad image"
        case .lineTooLong: "line too long"
        case .deadlineExceeded: "deadline exceeded"
        case .tooManyConnections: "too many connections"
        }
    }
}

/// An error as it goes over the wire: a code, a sentence that says what to do, and an object with details.
public struct ResponseError: Error, Equatable, Sendable {
    /// What kind of error it is.
    public var code: ErrorCode
    /// A sentence for the person who reads it.
    public var message: String
    /// Details for programs; an empty object where there are none.
    public var data: [JSONValue.Member]

    /// An error of the given kind.
    public init(_ code: ErrorCode, _ message: String, data: [JSONValue.Member] = []) {
        self.code = code
        self.message = message
        self.data = data
    }

    /// A parameter that is missing, unknown, or not what it must be. `parameter` is its path, such as `transform.mode`.
    public static func invalidParameter(_ parameter: String, _ message: String) -> ResponseError {
        ResponseError(.invalidParams, message, data: [.init("param", .string(parameter))])
    }

    /// A line that passed the limit of `maxLineBytes`.
    public static func lineTooLong(maxLineBytes: Int) -> ResponseError {
        ResponseError(
            .lineTooLong,
            "The line is longer than \(maxLineBytes) bytes and was discarded; send fewer patches a request, "
                + "or raise the server's --max-line-bytes.",
            data: [.init("max_line_bytes", .int(maxLineBytes))])
    }
}
