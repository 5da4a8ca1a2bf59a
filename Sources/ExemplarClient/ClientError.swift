public import JSONRPC

/// What can go wrong between a client and its server. The description is a sentence that says what to do.
public enum ClientError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The address cannot be one: a name that does not resolve, a port out of range, a path too long.
    case badAddress(ServerAddress, reason: String)
    /// Nothing listens at the address.
    case noServer(ServerAddress)
    /// The address could not be reached for another reason.
    case unreachable(ServerAddress, reason: String)
    /// Nothing moved for this long.
    case timedOut(ServerAddress, after: Duration)
    /// The server closed the connection, or it broke, before the reply came.
    case disconnected(ServerAddress, reason: String)
    /// The other side does not speak this protocol.
    case notThisProtocol(ServerAddress, reason: String)
    /// Several requests were answered by different models: the server has other ones since.
    case modelChanged(ServerAddress)
    /// An argument cannot be sent.
    case badArgument(String)
    /// The server answered with an error.
    case server(RemoteError)

    /// A sentence that says what to do.
    public var description: String {
        switch self {
        case .badAddress(let address, let reason):
            "The address \(address) cannot be used: \(reason)."
        case .noServer(.tcp(let host, let port)):
            "There is no server at \(ServerAddress.tcp(host: host, port: port)): start one with `exemplar serve`, "
                + "or give the address of one that runs."
        case .noServer(.unix(let path)):
            "There is no server at \(path): start one with `exemplar serve --unix \(path)`, or give the path of one "
                + "that runs."
        case .unreachable(let address, let reason):
            "The server at \(address) cannot be reached: \(reason)."
        case .timedOut(let address, let duration):
            "The server at \(address) did not answer within \(duration.formattedSeconds): see whether it is "
                + "overloaded, or allow more time."
        case .disconnected(let address, let reason):
            "The connection to \(address) ended before the reply: \(reason)."
        case .notThisProtocol(let address, let reason):
            "What listens at \(address) is no exemplar server of this version: \(reason)."
        case .modelChanged(let address):
            "The server at \(address) got another model, or other layers of it, while the patches were embedded: embed "
                + "them again."
        case .badArgument(let reason): reason
        case .server(let error):
            "The server answered with the error \(error.code)\(error.errorCode.map { " (\($0.name))" } ?? ""): "
                + error.message
        }
    }
}

extension Duration {
    /// Such as "1.5 s".
    fileprivate var formattedSeconds: String {
        let milliseconds = components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(Double(milliseconds) / 1000) s"
    }
}
