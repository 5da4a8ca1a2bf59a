import ExemplarClient
import ExemplarNetwork
import JSONRPC

extension Command {
    static let load = Command(
        name: "load", summary: "put a server under load and measure it",
        discussion: """
            Sends requests of random patches and reports how many were answered, how fast, and how long they took.

            With --rate the loop is open: requests are due by a schedule, whatever becomes of them, and latency counts \
            from the time at which a request was due. So a server that falls behind shows, as it does to independent \
            clients. Without --rate the loop is closed: every connection keeps --pipeline requests in flight, which \
            measures the greatest throughput, and latency at that throughput.

            Latencies are those of successful requests. Exits with 1 when nothing succeeded.

            --json writes, of the settings, loop, connections, pipeline, patches, samples, encoding and seed, and with \
            --rate also rate and arrivals; elapsed_seconds; the requests that were ok, overloaded, other_errors, \
            unanswered and unsent, and errors by code; lost_connections; patches_per_second; latency_ms and \
            refusal_ms, each with p50, p90, p99, p999, max and mean.
            """,
        options: [
            Option("rate", "NUMBER", help: "An open loop of so many requests a second, over all connections"),
            Option(
                "arrivals", "NAME", default: ArrivalSchedule.Spacing.exponential.rawValue,
                help: "With --rate, the gaps between requests: exponential, as of independent clients, or fixed"),
            Option("connections", "COUNT", default: standard.connections, help: "Connections"),
            Option(
                "pipeline", "COUNT",
                help: "The most requests in flight on a connection; without it, 1, or with --rate 256"),
            Option("patches", "COUNT", default: standard.patches, help: "Patches a request"),
            Option("samples", "COUNT", help: "Average each embedding over so many transformations of its patch"),
            Option("duration", "SECONDS", default: standard.duration.inSeconds, help: "How long to measure"),
            Option(
                "warm-up", "SECONDS", default: standard.warmUp.inSeconds,
                help: "How long to load the server before measuring"),
            Option(
                "encoding", "NAME", default: standard.encoding.rawValue,
                help: "How vectors come back: base64 or float"),
            Option(
                "layers", "NAMES",
                help: "Layers to concatenate, with commas between them, or all; without it, the embedding layer"),
            Option("model-name", "NAME", help: "The server's model to ask; without it, its default"),
            Option(
                "seed", "NUMBER", default: standard.seed, help: "Of the patches, the schedule and the transformations"),
            Option("json", help: "Report as one line of JSON"),
        ] + ServerAddress.options(),
        examples: [
            "exemplar load --connections 4 --pipeline 16",
            "exemplar load --rate 500 --connections 8 --patches 4 --duration 60",
            "exemplar load --rate 50 --samples 32 --json",
        ],
        run: runLoad)
}

/// What holds where nothing is given.
private let standard = LoadPlan()

private func runLoad(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    let plan = try LoadPlan(arguments)
    let isJSON = try arguments.isOn("json")
    let model = arguments.value("model-name")
    let server = try RemoteServer(arguments, model: model)
    let shape = try RemoteNetwork(server).patchShape
    let template = try RequestTemplate(plan, patchByteCount: shape.count, model: model)
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
    defer { chunk.deallocate() }
    var run = try explained { () throws(ClientError) in
        try LoadRun(plan, template: template, address: server.address, token: server.token, through: chunk)
    }
    let seconds = Int((plan.warmUp + plan.duration) / .seconds(1))
    var bar = ProgressBar(total: seconds, unit: "s")
    let report = try run.run { bar.advance(to: Int($0 / .seconds(1))) }
    bar.clear()
    if isJSON { try writeOutput(report.json) } else { try writeOutput(report.text) }
    return report.tally.succeeded > 0 ? 0 : 1
}
