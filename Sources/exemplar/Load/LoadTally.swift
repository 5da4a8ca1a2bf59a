import JSONRPC

/// What became of the requests that count.
struct LoadTally {
    private(set) var succeeded: UInt64 = 0
    /// By code of the line protocol.
    private(set) var errors: [Int: UInt64] = [:]
    /// Sent, and the connection broke or the time was over before the reply.
    var unanswered: UInt64 = 0
    /// Due by the schedule, while every connection had as many requests in flight as it may.
    var unsent: UInt64 = 0
    /// Connections that broke.
    var lostConnections = 0
    /// Of what succeeded: a refusal is quick, and would make an overloaded server look so.
    private(set) var latency = LatencyHistogram()
    /// Of refusals because of too much load.
    private(set) var refusal = LatencyHistogram()
    private(set) var lastReply: ContinuousClock.Instant?
    /// Successful replies that came while the run was measured, whenever their requests were sent: throughput.
    private(set) var succeededInWindow: UInt64 = 0

    var overloaded: UInt64 { errors[ErrorCode.overloaded.rawValue] ?? 0 }
    var otherErrors: UInt64 { errors.values.reduce(0, +) - overloaded }

    /// Takes note of a reply: `code` is an error's, nil for a result.
    ///
    /// - Parameters:
    ///   - isCounted: whether its request was due while the run is measured.
    ///   - isInWindow: whether the reply came in that time.
    mutating func record(
        _ code: Int?, latency: Duration, at now: ContinuousClock.Instant, isCounted: Bool, isInWindow: Bool
    ) {
        if isInWindow, code == nil { succeededInWindow += 1 }
        guard isCounted else { return }
        lastReply = now
        if let code {
            errors[code, default: 0] += 1
            if code == ErrorCode.overloaded.rawValue { refusal.record(latency) }
        } else {
            succeeded += 1
            self.latency.record(latency)
        }
    }
}

/// What `exemplar load` prints.
struct LoadReport {
    var plan: LoadPlan
    var tally: LoadTally
    /// From the end of the warm-up to the end of the measurement, or to the last reply that counts if that came later.
    var elapsed: Duration

    /// Patches a second whose replies came while the run was measured: under overload those are of requests that were
    /// sent before, as long as the queue is.
    var goodput: Double { Double(tally.succeededInWindow) * Double(plan.patches) / (plan.duration / .seconds(1)) }

    private static let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)]

    var text: String {
        let loop =
            switch plan.loop {
            case .closed: "closed loop"
            case .open(let spacing, let rate): "open loop, \(Self.rounded(rate)) requests/s, \(spacing.rawValue) gaps"
            }
        let others = tally.errors.filter { $0.key != ErrorCode.overloaded.rawValue }.sorted { $0.key > $1.key }
        let codes = others.map { "\($0.value) x \($0.key)" }.joined(separator: ", ")
        var lines = [
            "\(loop); connections: \(plan.connections), each with up to \(plan.pipeline) in flight; patches a request: "
                + "\(plan.patches)" + (plan.samples.map { ", samples: \($0)" } ?? ""),
            "requests  \(tally.succeeded) ok, \(tally.overloaded) overloaded, \(tally.otherErrors) other errors"
                + (codes.isEmpty ? "" : " (\(codes))")
                + ", \(tally.unanswered) unanswered, \(tally.unsent) not sent in time",
            "goodput   \(Self.rounded(goodput)) patches/s over \(Self.rounded(plan.duration / .seconds(1))) s",
        ]
        if tally.latency.count > 0 {
            let figures = Self.quantiles.map { "\($0.0) \(Self.milliseconds(tally.latency.quantile($0.1)))" }
            lines.append(
                "latency   " + (figures + ["max \(Self.milliseconds(tally.latency.max))"]).joined(separator: "   "))
        }
        if tally.refusal.count > 0 {
            let figures = Self.quantiles.map { "\($0.0) \(Self.milliseconds(tally.refusal.quantile($0.1)))" }
            lines.append("refusals  " + figures.joined(separator: "   "))
        }
        if tally.lostConnections > 0 { lines.append("connections that broke: \(tally.lostConnections)") }
        return lines.map { $0 + "\n" }.joined()
    }

    var json: JSONValue {
        func milliseconds(_ duration: Duration?) -> JSONValue {
            duration.map { .double($0 / .milliseconds(1)) } ?? .null
        }
        func count(_ value: UInt64) -> JSONValue { .int(Int(clamping: value)) }
        var loop: [JSONValue.Member]
        switch plan.loop {
        case .closed: loop = [.init("loop", "closed")]
        case .open(let spacing, let rate):
            loop = [
                .init("loop", "open"), .init("rate", .double(rate)), .init("arrivals", .string(spacing.rawValue)),
            ]
        }
        loop += [
            .init("connections", .int(plan.connections)), .init("pipeline", .int(plan.pipeline)),
            .init("patches", .int(plan.patches)), .init("samples", plan.samples.map(JSONValue.int) ?? .null),
            .init("encoding", .string(plan.encoding.rawValue)), .init("seed", .int(Int(clamping: plan.seed))),
            .init("elapsed_seconds", .double(elapsed / .seconds(1))), .init("ok", count(tally.succeeded)),
            .init("overloaded", count(tally.overloaded)), .init("other_errors", count(tally.otherErrors)),
            .init("unanswered", count(tally.unanswered)), .init("unsent", count(tally.unsent)),
            .init("lost_connections", .int(tally.lostConnections)), .init("patches_per_second", .double(goodput)),
        ]
        func latencies(_ histogram: LatencyHistogram) -> JSONValue {
            let quantiles = Self.quantiles.map {
                JSONValue.Member($0.0.replacing(".", with: ""), milliseconds(histogram.quantile($0.1)))
            }
            return .object(
                quantiles + [
                    .init("max", milliseconds(histogram.count > 0 ? histogram.max : nil)),
                    .init("mean", milliseconds(histogram.mean)),
                ])
        }
        let codes = tally.errors.sorted { $0.key > $1.key }
        return .object(
            loop + [
                .init("errors", .object(codes.map { .init(String($0.key), count($0.value)) })),
                .init("latency_ms", latencies(tally.latency)), .init("refusal_ms", latencies(tally.refusal)),
            ])
    }

    private static func milliseconds(_ duration: Duration?) -> String {
        duration.map { "\(rounded($0 / .milliseconds(1))) ms" } ?? "-"
    }

    /// To about four digits.
    private static func rounded(_ value: Double) -> String {
        let scale = value >= 1000 ? 1.0 : value >= 10 ? 10 : 1000
        let result = (value * scale).rounded() / scale
        return Int(exactly: result)?.description ?? result.description
    }
}
