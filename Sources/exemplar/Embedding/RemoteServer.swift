import ExemplarClient
import JSONRPC
import Platform

/// A running server, asked over its line protocol.
struct RemoteServer {
    let client: Client
    /// Which of its models is meant; nil for its default.
    let model: String?

    /// Connects, and shows the token where there is one.
    init(_ arguments: ParsedArguments, model: String? = nil) throws(CommandError) {
        self.model = model
        let address = try ServerAddress(arguments)
        let seconds = try arguments.integer("timeout", in: 1...86_400) ?? 30
        var token: String?
        if let path = arguments.value("token-file") { token = try Self.token(in: path) }
        client = try explained { [token] () throws(ClientError) in
            let client = try Client(connectingTo: address, timeout: .seconds(seconds))
            if let token { _ = try client.call("auth", [.init("token", .string(token))]) }
            return client
        }
    }

    var address: ServerAddress { client.address }

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
        try explained { () throws(ClientError) in try client.model(model) }
    }

    /// Asks `ready`, or `live`; an answer other than ok is thrown.
    func health(liveOnly: Bool) throws(CommandError) {
        try explained { () throws(ClientError) in
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
