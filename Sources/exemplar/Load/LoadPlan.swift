import JSONRPC

/// What `exemplar load` is to do.
struct LoadPlan {
    /// What decides when the next request is sent.
    enum Loop {
        /// Each connection keeps as many requests in flight as its pipeline is deep.
        case closed
        /// Requests are due by a schedule, at so many a second.
        case open(ArrivalSchedule.Spacing, rate: Double)
    }

    var loop = Loop.closed
    var connections = 1
    /// The most requests in flight on one connection.
    var pipeline = 1
    /// Patches a request.
    var patches = 1
    /// Draws of the transformation to average over; nil for plain embeddings.
    var samples: Int?
    var duration = Duration.seconds(10)
    /// Requests sent in this time before `duration` are not counted.
    var warmUp = Duration.seconds(2)
    /// How long the last replies may take.
    var timeout = Duration.seconds(30)
    var encoding = EmbedRequest.Encoding.base64
    var layers = EmbedRequest.Layers.embedding
    var seed: UInt64 = 0

    /// Requests a second: a schedule's times are far from where `Duration` overflows.
    static let rates = 1e-6...1e6

    init() {}

    init(_ arguments: ParsedArguments) throws(CommandError) {
        let spacing = try arguments.choice("arrivals", of: ArrivalSchedule.Spacing.self)
        if let text = arguments.value("rate") {
            guard let rate = Double(text), Self.rates.contains(rate) else {
                throw .usage(
                    "--rate is '\(text)'; it must be a number of requests a second, from 0.000001 to 1000000")
            }
            loop = .open(spacing, rate: rate)
        } else if arguments.isGiven("arrivals") {
            throw .usage("--arrivals is for an open loop: give --rate, too")
        }
        connections = try arguments.integer("connections", in: 1...1000)
        var depth = 1
        // An open loop should wait for nothing but the server.
        if case .open = loop { depth = 256 }
        pipeline = try arguments.optionalInteger("pipeline", in: 1...1024) ?? depth
        patches = try arguments.integer("patches", in: 1...4096)
        samples = try arguments.optionalInteger("samples", in: 1...65_536)
        duration = try arguments.seconds("duration")
        guard duration > .zero else { throw .usage("--duration is 0; there is nothing to measure in no time") }
        warmUp = try arguments.seconds("warm-up")
        timeout = .seconds(try arguments.integer("timeout", in: 1...86_400))
        encoding = try arguments.choice("encoding", of: EmbedRequest.Encoding.self)
        layers = try EmbedRequest.Layers(arguments.value("layers"))
        seed = UInt64(try arguments.integer("seed", in: TransformOptions.seeds))
    }
}
