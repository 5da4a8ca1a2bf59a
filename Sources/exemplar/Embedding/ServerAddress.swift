import ExemplarClient
import ExemplarServer

/// Where the server listens, from --host, --port and --unix or their environment variables.
extension ServerAddress {
    static func options(timeout seconds: Int = 30) -> [Option] {
        let standard = ServerConfiguration.standard
        return [
            Option("host", "HOST", environment: "EXEMPLAR_HOST", default: standard.host, help: "The server's address"),
            Option("port", "PORT", environment: "EXEMPLAR_PORT", default: standard.port, help: "The server's port"),
            Option("unix", "PATH", environment: "EXEMPLAR_UNIX", help: "The server's Unix domain socket, instead"),
            Option(
                "token-file", "FILE", environment: "EXEMPLAR_TOKEN_FILE",
                help: "Its first line is the token that the server asks for"),
            Option("timeout", "SECONDS", default: seconds, help: "How long to wait while nothing comes"),
        ]
    }

    /// A flag wins over the environment: `--port` on the command line means TCP even where EXEMPLAR_UNIX is set.
    init(_ arguments: ParsedArguments) throws(CommandError) {
        let namesTCP = arguments.isGiven("host") || arguments.isGiven("port")
        guard !namesTCP || !arguments.isGiven("unix") else {
            throw .usage("--unix and --host or --port were given: a server is reached by one of them")
        }
        if !namesTCP, let path = arguments.value("unix") {
            self = .unix(path: path)
            return
        }
        // Read only now: a server's own environment may say 0, any that is free, beside its socket.
        let port = try arguments.integer("port", in: 1...65_535)
        // The environment may be the server's own, as in a container, and say "every interface".
        switch arguments.text("host") {
        case "0.0.0.0": self = .tcp(host: "127.0.0.1", port: port)
        case "::": self = .tcp(host: "::1", port: port)
        case let host: self = .tcp(host: host, port: port)
        }
    }
}
