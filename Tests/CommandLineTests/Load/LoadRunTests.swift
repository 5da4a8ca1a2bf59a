import ExemplarClient
import ExemplarNetwork
import JSONRPC
import TestSupport
import Testing

@testable import exemplar

/// A run against a real server, or one that stalls. Counts are judged, and times only by what they cannot be less than.
@Suite struct LoadRunTests {
    func report(_ plan: LoadPlan, port: Int) throws -> LoadReport {
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
        defer { chunk.deallocate() }
        let template = try RequestTemplate(plan, patchByteCount: 11 * 9 * 3, model: nil)
        var run = try LoadRun(
            plan, template: template, address: .tcp(host: "127.0.0.1", port: port), token: nil, through: chunk)
        return try run.run { _ in }
    }

    func plan(_ loop: LoadPlan.Loop) -> LoadPlan {
        var plan = LoadPlan()
        plan.loop = loop
        plan.connections = 3
        plan.pipeline = 4
        plan.patches = 2
        plan.duration = .milliseconds(400)
        // In a closed loop the first requests count, so that a machine that stands still for half a second has some.
        plan.warmUp = if case .open = loop { .milliseconds(100) } else { .zero }
        return plan
    }

    @Test func everyRequestIsAccountedFor() throws {
        let model = try TemporaryModel(LocalEmbeddingTests.oracle(channels: 3))
        let server = try ServerProcess(["--model", model.path, "--threads", "1"])
        let closed = try report(plan(.closed), port: server.port)
        #expect(closed.tally.succeeded > 0)
        #expect(closed.tally.otherErrors == 0)
        #expect(closed.tally.unanswered == 0)
        #expect(closed.tally.latency.count == closed.tally.succeeded)
        // Replies after the end are answers, but no throughput; each connection has four requests in flight then.
        #expect(closed.tally.succeededInWindow <= closed.tally.succeeded)
        #expect(closed.tally.succeededInWindow + 12 >= closed.tally.succeeded)

        let open = try report(plan(.open(.fixed, rate: 100)), port: server.port)
        // Due at 0.10, 0.11, …, 0.49 s: 40 requests, all answered or, on a slow machine, not sent in time.
        #expect(open.tally.succeeded + open.tally.overloaded + open.tally.unsent == 40)
        #expect(open.tally.otherErrors == 0)
        #expect(open.json["patches"] == 2)
        #expect(open.json["loop"] == "open")

        // A layer that there is not: every reply is an error, which is counted by its code.
        var wrong = plan(.closed)
        wrong.layers = .named(["nothing"])
        let failed = try report(wrong, port: server.port)
        #expect(failed.tally.succeeded == 0)
        #expect(failed.tally.errors.keys.sorted() == [ErrorCode.unknownName.rawValue])
        #expect(failed.text.contains("-32003"))
        #expect(server.end() == 0)
    }

    /// No coordinated omission: requests that were due while the server stood still count from when they were due,
    /// although this client had no room to send them. Counted from when they were sent, all but one would look quick.
    @Test func aStallCountsForEveryRequestThatWasDueMeanwhile() throws {
        let stall = Duration.milliseconds(500)
        let (rate, seconds) = (100, 2)
        let server = try ScriptedServer(results: Array(repeating: "true", count: rate * seconds), stall: stall)
        var plan = LoadPlan()
        plan.loop = .open(.fixed, rate: Double(rate))
        plan.duration = .seconds(seconds)
        plan.warmUp = .zero
        let tally = try report(plan, port: server.port).tally
        #expect(tally.latency.count + tally.unsent == UInt64(rate * seconds))
        // The first is sent at its time or later; whoever is due in the first half of what follows waits for the other.
        let late = rate / 4 - 1
        let rank = Double(tally.latency.count) - Double(late) + 1
        let shortest = try #require(tally.latency.quantile(rank / Double(tally.latency.count)))
        #expect(shortest >= stall / 2, "of the \(late) slowest one took \(shortest)")
    }

    @Test func theCommandFailsWhereNothingSucceeds() throws {
        let model = try TemporaryModel(LocalEmbeddingTests.oracle(channels: 3))
        let server = try ServerProcess(["--model", model.path, "--threads", "1"])
        let short = ["load", "--port", "\(server.port)", "--duration", "0.2", "--warm-up", "0"]
        #expect(Exemplar.run(short + ["--json"], environment: [:]) == 0)
        #expect(Exemplar.run(short + ["--layers", "nothing"], environment: [:]) == 1)
        #expect(Exemplar.run(short + ["--rate", "0"], environment: [:]) == 64)
    }

    /// A token may come out of a pipe, once.
    @Test func theTokenIsReadOnce() throws {
        let model = try TemporaryModel(LocalEmbeddingTests.oracle(channels: 3))
        let folder = try TemporaryFolder()
        try folder.write("token", Array("correct horse\n".utf8))
        let token = folder.file("token")
        let server = try ServerProcess(["--model", model.path, "--threads", "1", "--token-file", token])
        let load = #"cat "$1" | "$0" load --port "$2" --duration 0.1 --warm-up 0 --token-file /dev/stdin"#
        let run = try BinaryProcess(shell: load, [token, "\(server.port)"]).wait()
        #expect(run.status == 0, "\(run.log)")
    }

    /// What a server answers to the token is said, whatever it is.
    @Test func anErrorBeforeTheLoadIsTheServers() throws {
        let model = try TemporaryModel(LocalEmbeddingTests.oracle(channels: 3))
        let folder = try TemporaryFolder()
        try folder.write("token", Array("correct horse\n".utf8))
        let server = try ServerProcess(
            ["--model", model.path, "--threads", "1", "--max-connections", "2", "--token-file", folder.file("token")])
        func failure(connections: Int, token: String) throws -> ClientError? {
            let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
            defer { chunk.deallocate() }
            var plan = plan(.closed)
            plan.connections = connections
            let template = try RequestTemplate(plan, patchByteCount: 11 * 9 * 3, model: nil)
            return #expect(throws: ClientError.self) {
                _ = try LoadRun(
                    plan, template: template, address: .tcp(host: "127.0.0.1", port: server.port), token: token,
                    through: chunk)
            }
        }
        func code(_ error: ClientError?) -> Int? { if case .server(let error) = error { error.code } else { nil } }
        #expect(code(try failure(connections: 1, token: "wrong")) == -32002)
        #expect(code(try failure(connections: 3, token: "correct horse")) == -32009)
    }

    /// As many channels as a config.json may name, and more than a photograph has.
    @Test func aModelOfManyChannelsIsLoaded() throws {
        let channels = NetworkConfiguration.PatchShape.channelCounts.upperBound
        let model = try TemporaryModel(LocalEmbeddingTests.oracle(channels: channels))
        let server = try ServerProcess(["--model", model.path, "--threads", "1"])
        let short = ["load", "--port", "\(server.port)", "--duration", "0.1", "--warm-up", "0"]
        #expect(Exemplar.run(short, environment: [:]) == 0)
    }

    /// Of three years at a million requests a second, what is not sent is not counted one by one.
    @Test(.timeLimit(.minutes(1)), arguments: [(rate: 50.0, seconds: 3600), (rate: 1e6, seconds: 100_000_000)])
    func aServerThatEndsIsCountedAndNotWaitedFor(rate: Double, seconds: Int) throws {
        let model = try TemporaryModel(LocalEmbeddingTests.oracle(channels: 3))
        let server = try ServerProcess(["--model", model.path, "--threads", "1"])
        var long = plan(.open(.fixed, rate: rate))
        long.duration = .seconds(seconds)
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
        defer { chunk.deallocate() }
        let template = try RequestTemplate(long, patchByteCount: 11 * 9 * 3, model: nil)
        var run = try LoadRun(
            long, template: template, address: .tcp(host: "127.0.0.1", port: server.port), token: nil, through: chunk)
        var status: Int32?
        let report = try run.run { elapsed in
            if status == nil, elapsed > .milliseconds(300) { status = server.end() }
        }
        #expect(status == 0)
        #expect(report.tally.lostConnections == 3)
        // Nearly all: the server lived for a moment.
        #expect(abs(Double(report.tally.unsent) / (rate * Double(seconds)) - 1) < 0.01)
    }
}
