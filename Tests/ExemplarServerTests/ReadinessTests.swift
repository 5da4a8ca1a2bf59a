import JSONRPC
import TestSupport
import Testing

/// Workers that make no progress: seen from outside, over TCP and HTTP, and over as soon as they get on.
@Suite(.waiting) struct ReadinessTests {
    private static let ready = #"{"jsonrpc":"2.0","id":"ready","method":"ready"}"#

    /// The status line and the body of `/readyz`.
    private static func readyz(_ port: UInt16) throws -> (status: String, body: String) {
        let socket = try LineSocket(port: port)
        try socket.send("GET /readyz HTTP/1.0\r\n\r\n")
        var lines: [String] = []
        while let line = try socket.readLine() { lines.append(line) }
        return (lines.first ?? "", lines.last ?? "")
    }

    /// A batch of this network takes longer than a thousandth of a second on any machine, and gets on only by its end.
    @Test func aBatchThatDoesNotGetOn() throws {
        let oracle = Oracle.wide()
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(
            model: model.path, ["--progress-timeout", "0.001", "--metrics-port", "0", "--isa", "portable"])
        let metrics = try #require(
            server.waitForLog("metrics on ").split(separator: ":").last.flatMap { UInt16($0) })
        let (busy, watching) = (try server.connect(), try server.connect())
        #expect(try watching.ask(Self.ready).code == nil)
        #expect(try Self.readyz(metrics).status.contains(" 200 "))
        // Instrumented, a patch takes a second.
        let patches = isInstrumented ? 2 : 64
        let line = oracle.embedLine(Array(0..<UInt64(patches)))
        var (overTCP, overHTTP) = (false, false)
        var answered = 0
        while !overTCP || !overHTTP {
            // As much as keeps both workers busy while one asks.
            let count = 8
            for _ in 0..<count { try busy.send(line: line) }
            for _ in 0..<10 {
                let reply = try watching.ask(Self.ready)
                if reply.code != nil {
                    #expect(reply.code == -32005 && reply.data?["reason"] == "stalled", "\(reply.line)")
                    overTCP = true
                }
                let (status, body) = try Self.readyz(metrics)
                if !status.contains(" 200 ") {
                    #expect(status.contains(" 503 ") && body == "stalled")
                    overHTTP = true
                }
            }
            for _ in 0..<count { #expect(try busy.reply().embeddings.count == patches) }
            answered += count
            guard answered < 400 else { throw TestFailure("ready through \(answered) batches: \(server.log)") }
        }
        // Nothing runs, so nothing is stalled; work is taken all the while.
        try waitUntil("stalled for ever") { try watching.ask(Self.ready).code == nil }
        #expect(try Self.readyz(metrics).body == "ok")
    }
}
