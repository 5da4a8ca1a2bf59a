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
    /// What the server is shown first, where it asks for that.
    let token: String?

    init(_ arguments: ParsedArguments, model: String? = nil) throws(CommandError) {
        self.model = model
        address = try ServerAddress(arguments)
        timeout = .seconds(try arguments.integer("timeout", in: 1...86_400))
        token = try arguments.value("token-file").map { path throws(CommandError) in
            // As the server reads it.
            try explained { () throws(TokenFileError) in try accessToken(inFile: path) }
        }
    }

    /// A new connection, which has shown the token where there is one.
    func connect() throws(ClientError) -> Client {
        let client = try Client(connectingTo: address, timeout: timeout)
        if let token { _ = try client.call("auth", [.init("token", .string(token))]) }
        return client
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
