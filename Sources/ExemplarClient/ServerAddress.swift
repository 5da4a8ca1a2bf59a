/// Where a server listens.
public enum ServerAddress: Hashable, Sendable, CustomStringConvertible {
    /// A host, by name or number, and a port.
    case tcp(host: String, port: Int)
    /// The path of a Unix domain socket.
    case unix(path: String)

    /// The address a server listens on unless told otherwise: 127.0.0.1:7350.
    public static let `default` = ServerAddress.tcp(host: "127.0.0.1", port: 7350)

    /// Reads "HOST:PORT", "[IPV6]:PORT", or the path of a socket, which holds a slash. Nil for anything else.
    public init?(_ text: String) {
        if text.contains("/") {
            self = .unix(path: text)
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (1...65_535).contains(port)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self = .tcp(host: String(host), port: port)
    }

    /// The address as `init(_:)` reads it.
    public var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): path
        }
    }
}
