import Glibc
import JSONRPC
import TestSupport
import Testing

@testable import ExemplarServer

/// Who guesses at the token has few tries, and fills no log with them.
@Suite(.waiting) struct WrongTokensTests {
    private let model: TemporaryModel
    private let token: TemporaryFile

    init() throws {
        model = try TemporaryModel(.tiny(), golden: 0)
        token = try TemporaryFile("correct horse\n")
    }

    private func server() throws -> ServerProcess {
        try ServerProcess(model: model.path, ["--token-file", token.path])
    }

    private static func request(_ id: Int, _ method: String, _ parameters: String = "{}") -> String {
        #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(parameters)}"#
    }

    private static func guess(_ id: Int, _ token: String) -> String { request(id, "auth", #"{"token":"\#(token)"}"#) }

    @Test func linesOfGuesses() throws {
        let client = try server().connect()
        client.trySend(String(repeating: Self.guess(1, "wrong token") + "\n", count: 1000).utf8)
        client.finishSending()
        var answers = 0
        while try client.readLine() != nil { answers += 1 }
        #expect(answers == 3)
    }

    /// A JSON-RPC batch is taken whole, and holds no more tries than a connection has: what comes after the last of
    /// them is not looked at.
    @Test func aBatchOfGuesses() throws {
        let server = try server()
        let friend = try server.connect()
        #expect(try friend.ask(Self.guess(0, "correct horse")).result?["status"] == "ok")
        let client = try server.connect()
        let entries =
            (0..<5).map { Self.guess($0, "wrong \($0)") }
            + [Self.guess(5, "correct horse"), Self.request(6, "stats"), Self.request(7, "live")]
        try client.send(line: "[\(entries.joined(separator: ","))]")
        guard case .array(let replies) = try client.reply().value else { throw TestFailure("no batch") }
        #expect(Set(replies.compactMap { int($0["id"]) }) == Set(0..<entries.count))
        for reply in replies { #expect(reply["error"]?["code"] == -32002, "\(reply)") }
        #expect(try client.readLine() == nil)
        // The friend's own, and three of the others'.
        let stats = try friend.ask(Self.request(1, "stats")).result
        #expect(stats?["requests"]?["auth"] == 4 && stats?["requests"]?["live"] == nil)
        #expect(stats?["errors"]?["-32002"] == .int(entries.count))
    }

    /// One after the other, on connections of their own: one line of the log tells of all of ten seconds.
    @Test func guessesAreLoggedSeldom() throws {
        let server = try server()
        let start = ContinuousClock.now
        for id in 0..<5 {
            let client = try server.connect()
            for _ in 0..<2 { #expect(try client.ask(Self.guess(id, "wrong")).code == -32002) }
            // Whoever finds it at last is served.
            #expect(try client.ask(Self.guess(id, "correct horse")).code == nil)
        }
        let most = 1 + Int(start.duration(to: .now) / .seconds(10))
        server.send(SIGTERM)
        #expect(try server.waitForExit() == 0)
        let lines = server.log.split(separator: "\n").filter { $0.contains("tokens that are wrong") }
        #expect((1...most).contains(lines.count), "\(lines)")
        #expect(lines.first?.hasSuffix("tokens=1") == true, "\(lines)")
    }

    /// By a clock of the test's own: what was not written is counted in the line that comes next.
    @Test func aLimitCountsWhatItKeepsBack() {
        var limit = LogLimit()
        let start = ContinuousClock.now
        func pass(_ milliseconds: Int) -> Int? { limit.pass(start + .milliseconds(milliseconds)) }
        #expect(pass(0) == 1)
        for milliseconds in [0, 1, 5000, 9999] { #expect(pass(milliseconds) == nil, "\(milliseconds)") }
        #expect(pass(10_000) == 5)
        for milliseconds in [10_001, 19_999] { #expect(pass(milliseconds) == nil, "\(milliseconds)") }
        #expect(pass(31_000) == 3)
        // The ten seconds begin anew with each line.
        #expect(pass(40_999) == nil)
        #expect(pass(41_000) == 2)
        #expect(pass(60_000) == 1)
    }
}
