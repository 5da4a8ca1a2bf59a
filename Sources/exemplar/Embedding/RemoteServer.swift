import ExemplarClient
import JSONRPC
import Platform

/// A running server, asked over its line protocol: each question on a connection of its own, since servers close those
/// that rest, and reading photographs in between may take minutes.
struct RemoteServer {
    let address: ServerAddress
    /// Which of its models is meant; nil for its default.
    let model: String?
    private let timeout: Duration
    private let token: String?

    init(_ arguments: ParsedArguments, model: String? = nil) throws(CommandError) {
        self.model = model
        address = try ServerAddress(arguments)
        timeout = .seconds(try arguments.integer("timeout", in: 1...86_400))
        if let path = arguments.value("token-file") { token = try Self.token(in: path) } else { token = nil }
    }

    /// A new connection, which has shown the token where there is one.
    func connect() throws(ClientError) -> Client {
        let client = try Client(connectingTo: address, timeout: timeout)
        if let token { _ = try client.call("auth", [.init("token", .string(token))]) }
        return client
    }

    /// The token in a file, as the server reads it.
    static func token(in path: String) throws(CommandError) -> String {
        do {
            return try accessToken(inFile: path)
        } catch {
            throw .failure(error.description)
        }
    }

    /// What the method `model` answers.
    func description() throws(CommandError) -> JSONValue {
        try explained { () throws(ClientError) in try connect().model(model) }
    }

    /// Asks `ready`, or `live`; an answer other than ok is thrown.
    func health(liveOnly: Bool) throws(CommandError) {
        try explained { () throws(ClientError) in
            let client = try connect()
            if liveOnly { try client.live() } else { try client.ready() }
        }
    }
}

/// What the client threw, as a command's error.
func explained<Value>(_ body: () throws(ClientError) -> Value) throws(CommandError) -> Value {
    do {
        return try body()
    } catch {
        throw .failure(error.description)
    }
}
