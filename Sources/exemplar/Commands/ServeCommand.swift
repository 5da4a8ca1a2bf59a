import CPlatform
import ExemplarNetwork
import ExemplarServer
import KernelInterface

extension Command {
    static let serve = Command(
        name: "serve", summary: "serve models over TCP",
        discussion: """
            Loads models, then answers JSON-RPC 2.0 requests, one message a line, until SIGTERM or SIGINT: it then \
            takes no more work, answers what it has, and exits with 0. SIGHUP loads the models again and swaps them in \
            once they reproduce their golden vectors. It logs to standard error; the line `listening on HOST:PORT` \
            says that it is ready.

            Times are in seconds; fractions are welcome.
            """,
        options: [
            Option(
                "models", "FOLDER", environment: "EXEMPLAR_MODELS", default: "models",
                help: "Serve every sub-folder that has a config.json"),
            Option("model", "FOLDER", environment: "EXEMPLAR_MODEL", help: "Serve this model folder alone"),
            Option(
                "default-model", "NAME", environment: "EXEMPLAR_DEFAULT_MODEL",
                help: "The model that answers where a request names none; without it, the first by name"),
            Option(
                "host", "ADDRESS", environment: "EXEMPLAR_HOST", default: standard.host,
                help: "The address to listen on"),
            Option(
                "port", "PORT", environment: "EXEMPLAR_PORT", default: standard.port,
                help: "The port; 0 picks a free one"),
            Option(
                "unix", "PATH", environment: "EXEMPLAR_UNIX",
                help: "Listen on this Unix domain socket, too, which only its owner may use"),
            Option(
                "metrics-port", "PORT", environment: "EXEMPLAR_METRICS_PORT",
                help: "Serve /metrics, /healthz and /readyz over HTTP here, on --host; 0 picks a free port"),
            Option(
                "threads", "COUNT", environment: "EXEMPLAR_THREADS",
                help: "Worker threads; without it, one for each core that this process may use"),
            Option(
                "event-loops", "COUNT", environment: "EXEMPLAR_EVENT_LOOPS",
                help: "Threads that read requests and send replies; without it, one for every "
                    + "\(ServerConfiguration.threadsOfLoop) worker threads"),
            Option(
                "memory-limit", "BYTES", environment: "EXEMPLAR_MEMORY_LIMIT",
                help: "The most memory to plan for; without it, the least of control group, RLIMIT_AS and machine"),
            Option(
                "isa", "NAME", environment: "EXEMPLAR_ISA", default: "auto",
                help: "The instruction set: auto, the widest that this CPU has, or \(words(InstructionSet.self))"),
            Option(
                "accuracy", "NAME", environment: "EXEMPLAR_ACCURACY", default: standard.options.accuracy.rawValue,
                help: "exact convolves directly, standard by Winograd's algorithm, fast by less accurate variants of it"
            ),
            Option(
                "optimize", "GOAL", environment: "EXEMPLAR_OPTIMIZE", default: standard.options.optimize.rawValue,
                help: "What the planner looks at: \(words(Optimization.self))"),
            Option(
                "max-batch", "COUNT", environment: "EXEMPLAR_MAX_BATCH", default: standard.maxBatch,
                help: "The most patches in one forward pass"),
            Option(
                "queue", "COUNT", environment: "EXEMPLAR_QUEUE", default: standard.queue,
                help: "The most patches that wait, and as many again of larger images; beyond it "
                    + "requests are refused as overloaded"),
            Option(
                "brief-batch", "SECONDS", environment: "EXEMPLAR_BRIEF_BATCH", default: standard.briefBatch.inSeconds,
                help: "The longest batch that an idle server computes on the thread that reads requests; 0 for none"),
            Option(
                "max-connections", "COUNT", environment: "EXEMPLAR_MAX_CONNECTIONS", default: standard.maxConnections,
                help: "The most connections at a time"),
            Option(
                "max-line-bytes", "COUNT", environment: "EXEMPLAR_MAX_LINE_BYTES", default: standard.maxLineBytes,
                help: "The longest request line"),
            Option(
                "max-reply-bytes", "COUNT", environment: "EXEMPLAR_MAX_REPLY_BYTES", default: standard.maxReplyBytes,
                help: "The longest reply"),
            Option(
                "max-pixels", "COUNT", environment: "EXEMPLAR_MAX_PIXELS", default: standard.maxPixels,
                help: "The most pixels of one image"),
            Option(
                "read-timeout", "SECONDS", environment: "EXEMPLAR_READ_TIMEOUT",
                default: standard.readTimeout.inSeconds,
                help: "How long a line that was begun may rest"),
            Option(
                "line-timeout", "SECONDS", environment: "EXEMPLAR_LINE_TIMEOUT",
                default: standard.lineTimeout.inSeconds,
                help: "How long a line may take from its first byte to its last, and a reply where memory is short"),
            Option(
                "write-timeout", "SECONDS", environment: "EXEMPLAR_WRITE_TIMEOUT",
                default: standard.writeTimeout.inSeconds,
                help: "How long a client may take no byte of a reply"),
            Option(
                "idle-timeout", "SECONDS", environment: "EXEMPLAR_IDLE_TIMEOUT",
                default: (standard.idleTimeout ?? .zero).inSeconds,
                help: "How long a connection may stand without a request; 0 is for ever"),
            Option(
                "auth-timeout", "SECONDS", environment: "EXEMPLAR_AUTH_TIMEOUT",
                default: (standard.authTimeout ?? .zero).inSeconds,
                help: "How long a connection may stand without the token, where one is asked for; 0 is for ever"),
            Option(
                "drain-timeout", "SECONDS", environment: "EXEMPLAR_DRAIN_TIMEOUT",
                default: standard.drainTimeout.inSeconds,
                help: "How long what was admitted may take after SIGTERM"),
            Option(
                "progress-timeout", "SECONDS", environment: "EXEMPLAR_PROGRESS_TIMEOUT",
                default: standard.progressTimeout.inSeconds,
                help: "How long a batch may not get on before the server is no longer ready"),
            Option(
                "token-file", "FILE", environment: "EXEMPLAR_TOKEN_FILE",
                help: "Its first line is the token that clients must send with the method auth"),
            Option(
                "insecure", environment: "EXEMPLAR_INSECURE",
                help: "Listen beyond this machine although there is no token"),
            Option(
                "log-format", "FORMAT", environment: "EXEMPLAR_LOG_FORMAT", default: standard.logFormat.rawValue,
                help: words(Log.Format.self)),
            Option(
                "log-level", "LEVEL", environment: "EXEMPLAR_LOG_LEVEL", default: standard.logLevel.rawValue,
                help: words(Log.Level.self)),
        ],
        examples: [
            "exemplar serve", "exemplar serve --model models/small --port 7351 --threads 4",
            "exemplar serve --host 0.0.0.0 --token-file token.txt --log-format json",
        ],
        run: runServe)
}

private func runServe(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    exemplar_report_crashes()
    let configuration = try ServerConfiguration(arguments)
    return try explained { () throws(ServerError) in try Server(configuration) }.run()
}

private let standard = ServerConfiguration.standard

extension ServerConfiguration {
    /// What holds where nothing is given; clients look for a server there.
    static let standard = ServerConfiguration(models: .folder("models"))

    init(_ arguments: ParsedArguments) throws(CommandError) {
        /// 0 is for ever.
        func limit(_ name: String) throws(CommandError) -> Duration? {
            let limit = try arguments.seconds(name)
            return limit > .zero ? limit : nil
        }
        if arguments.isGiven("model"), arguments.isGiven("models") {
            throw .usage("give --models, a folder of model folders, or --model, one of them, and not both")
        }
        let single = arguments.isGiven("models") ? nil : arguments.value("model")
        self.init(models: single.map(Models.single) ?? .folder(arguments.text("models")))
        defaultModel = arguments.value("default-model")
        host = arguments.text("host")
        port = UInt16(try arguments.integer("port", in: 0...65_535))
        unixPath = arguments.value("unix")
        metricsPort = try arguments.optionalInteger("metrics-port", in: 0...65_535).map { UInt16($0) }
        if let metricsPort, metricsPort == port, port != 0 {
            throw .usage("--port and --metrics-port are both \(port); choose another for one of them, or 0")
        }
        threads = try arguments.optionalInteger("threads", in: 1...1024)
        eventLoops = try arguments.optionalInteger("event-loops", in: 1...ServerConfiguration.mostEventLoops)
        memoryLimit = try arguments.optionalInteger("memory-limit", in: 1...(1 << 50))
        options = try ModelOptions(arguments)
        maxBatch = try arguments.integer("max-batch", in: 1...4096)
        queue = try arguments.integer("queue", in: 1...(1 << 24))
        briefBatch = try arguments.seconds("brief-batch")
        maxConnections = try arguments.integer("max-connections", in: 1...(1 << 20))
        maxLineBytes = try arguments.integer("max-line-bytes", in: 1...(1 << 30))
        maxReplyBytes = try arguments.integer("max-reply-bytes", in: 1...(1 << 31))
        maxPixels = try arguments.integer("max-pixels", in: 1...(1 << 28))
        readTimeout = try arguments.seconds("read-timeout")
        lineTimeout = try arguments.seconds("line-timeout")
        writeTimeout = try arguments.seconds("write-timeout")
        idleTimeout = try limit("idle-timeout")
        authTimeout = try limit("auth-timeout")
        drainTimeout = try arguments.seconds("drain-timeout")
        progressTimeout = try arguments.seconds("progress-timeout")
        guard progressTimeout > .zero else { throw .usage("--progress-timeout is 0; it must be more") }
        tokenFile = arguments.value("token-file")
        isInsecure = try arguments.isOn("insecure")
        logFormat = try arguments.choice("log-format", of: Log.Format.self)
        logLevel = try arguments.choice("log-level", of: Log.Level.self)
    }
}
