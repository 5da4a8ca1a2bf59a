import FoundationEssentials
import Glibc
import JSONRPC
import TestSupport
import Testing

// Of stdlib.h, behind a macro that Swift's module of the C library does not set.
@_silgen_name("grantpt") private func grantpt(_ terminal: Int32) -> Int32
@_silgen_name("unlockpt") private func unlockpt(_ terminal: Int32) -> Int32
@_silgen_name("ptsname") private func ptsname(_ terminal: Int32) -> UnsafePointer<CChar>?

/// The log: one line an event, in the format and from the level asked for, and nothing of what requests hold.
@Suite(.waiting) struct LogTests {
    private let oracle = Oracle.tiny(transformations: .everyStep)

    /// What a server logs from its start to its end by SIGTERM, while `body` talks to it.
    private func log(
        _ arguments: [String], golden: Int = 2, variables: [String: String] = [:],
        _ body: (UInt16) throws -> Void = { _ in }
    ) throws -> [Substring] {
        let model = try TemporaryModel(oracle, golden: golden)
        let server = try ServerProcess(
            launching: ["serve", "--port", "0", "--threads", "1", "--model", model.path] + arguments,
            variables: variables)
        let line = try server.waitForLog("listening on 127.0.0.1:")
        let port = line.split(separator: ":").last.flatMap { UInt16($0.prefix { $0.isNumber }) }
        try body(try #require(port, "\(line)"))
        server.send(SIGTERM)
        #expect(try server.waitForExit() == 0, "\(server.log)")
        #expect(server.log.hasSuffix("\n"))
        return server.log.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    }

    /// Of every level: a connection that idles is closed (debug), and a model has no golden vectors (warning).
    @Test func everyLineIsOneObject() throws {
        // Nine hours east of Greenwich, where it tells Greenwich's time.
        let lines = try log(
            ["--log-format", "json", "--log-level", "debug", "--idle-timeout", "0.2"], golden: 0,
            variables: ["TZ": "UTC-9"]
        ) { _ = try LineSocket(port: $0).isClosedByServer() }
        var levels: Set<String> = []
        var messages: [String] = []
        for line in lines {
            let value = try TestReply(String(line)).value
            guard case .object(let members) = value else { throw TestFailure("no object: \(line)") }
            #expect(members.prefix(3).map(\.key) == ["time", "level", "message"], "\(line)")
            let time = try #require(string(value["time"]))
            // 2025-01-31T12:34:56.789Z
            #expect(time.utf8.count == 24 && time.hasSuffix("Z"), "\(time)")
            let age = -(try Date(time, strategy: .iso8601.year().month().day().time(includingFractionalSeconds: true)))
                .timeIntervalSinceNow
            #expect(abs(age) < 3600, "\(time)")
            levels.insert(try #require(string(value["level"])))
            messages.append(try #require(string(value["message"])))
        }
        #expect(levels == ["debug", "info", "warning"])
        #expect(messages.first == "starting" && messages.last == "drained", "\(messages)")
        #expect(messages.contains { $0.hasPrefix("listening on 127.0.0.1:") })
        #expect(messages.contains("a connection opened") && messages.contains("a connection closed"), "\(messages)")
        #expect(try log(["--log-format", "text"]).allSatisfy { !$0.contains("{") })
    }

    /// What scripts wait for is written whatever the level is, and is all that is left at the highest.
    @Test func theListeningLineHasNoLevel() throws {
        for (level, others) in [("error", []), ("warning", ["no golden.safetensors"])] {
            let lines = try log(["--log-level", level], golden: 0)
            #expect(lines.count == 1 + others.count, "\(lines)")
            #expect(lines.contains { $0.contains("info listening on 127.0.0.1:") })
            #expect(others.allSatisfy { other in lines.contains { $0.contains(other) } })
        }
        #expect(try log(["--log-level", "info"]).contains { $0.contains("info drained") })
    }

    /// A terminal whose other end rests takes some kilobytes, and then nothing.
    @Test func aTerminalThatNobodyReadsHoldsUpNobody() throws {
        let model = try TemporaryModel(oracle)
        let terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        defer { close(terminal) }
        guard terminal >= 0, grantpt(terminal) == 0, unlockpt(terminal) == 0, let name = ptsname(terminal) else {
            throw TestFailure("no terminal: \(errno)")
        }
        // The test has it open, too, so that it lasts.
        let other = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)
        defer { close(other) }
        let folder = try temporaryFolder()
        defer { rmdir(folder) }
        let path = folder + "/socket"
        let server = try ServerProcess(
            launching: [
                "serve", "--port", "0", "--unix", path, "--model", model.path, "--log-level", "debug",
            ], log: String(cString: name))
        // 100 bytes for each.
        for _ in 0..<1000 {
            var client: LineSocket?
            try waitUntil("the server listens") {
                client = try? LineSocket(unixPath: path)
                return client != nil
            }
            #expect(try client?.isQuiet() == true)
        }
        server.send(SIGTERM)
        #expect(try server.waitForExit() == 0)
    }

    /// A file that may grow no further is an error of the call, and not the end of the server. Not under sanitizers,
    /// which need files of their own.
    @Test(.enabled(if: !isInstrumented)) func aLogOfItsLargestSizeEndsNothing() throws {
        let model = try TemporaryModel(oracle)
        let file = try TemporaryFile("")
        let folder = try temporaryFolder()
        defer { rmdir(folder) }
        let path = folder + "/socket"
        let server = try ServerProcess(
            launching: ["serve", "--port", "0", "--unix", path, "--model", model.path, "--log-level", "debug"],
            log: file.path, limit: "ulimit -f 8; ")
        for _ in 0..<200 {
            var client: LineSocket?
            try waitUntil("the server listens") {
                client = try? LineSocket(unixPath: path)
                return client != nil
            }
            #expect(try client?.isQuiet() == true)
        }
        var status = stat()
        #expect(stat(file.path, &status) == 0 && status.st_size == 8 << 9, "\(status.st_size)")
        server.send(SIGTERM)
        #expect(try server.waitForExit() == 0)
    }

    /// Patches, names, ids and tokens that go wrong in every way: none of them comes up in the log.
    @Test(arguments: ["text", "json"]) func whatRequestsHoldIsNotLogged(_ format: String) throws {
        let secret = "c2VjcmV0"
        let token = try TemporaryFile("tokenToken\n")
        let patch = secret + base64(oracle.patch(1)).dropFirst(secret.utf8.count)
        func call(_ method: String, _ parameters: String, id: String = "1") -> String {
            #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(parameters)}"#
        }
        let lines = try log(
            [
                "--log-format", format, "--log-level", "debug", "--token-file", token.path, "--max-line-bytes", "4096",
                "--read-timeout", "0.2",
            ]
        ) { port in
            let client = try LineSocket(port: port)
            #expect(try client.ask(call("auth", #"{"token":"\#(secret)"}"#)).code == -32002)
            #expect(try client.ask(call("auth", #"{"token":"tokenToken"}"#)).code == nil)
            for (line, code) in [
                (call("embed", #"{"patches":["\#(patch)"]}"#, id: "\"\(secret)\""), nil),
                (call("embed", #"{"patches":["\#(secret)"]}"#), -32602),
                (call("embed", #"{"patches":["\#(patch)"],"\#(secret)":1}"#), -32602),
                (call("embed", #"{"patches":["\#(patch)"],"pool":"\#(secret)"}"#), -32602),
                (call("embed", #"{"patches":["\#(patch)"],"layers":["\#(secret)"]}"#), -32003),
                (call("embed", #"{"patches":["\#(patch)"],"model":"\#(secret)"}"#), -32003),
                (call("embed", #"{"images":["\#(secret)"]}"#), -32006),
                (call("transform", #"{"patches":["\#(patch)"],"transform":{"mode":"\#(secret)"}}"#), -32602),
                (call(secret, "{}"), -32601), (#"{"\#(secret)"#, -32700), (#"{"\#(secret)":1}"#, -32600),
                (String(repeating: secret, count: 1000), -32007),
            ] as [(String, Int?)] {
                let reply = try client.ask(line)
                #expect(reply.code == code, "\(reply.line)")
            }
            // Half a line, for which the connection is closed, and the log says so.
            try client.send(#"{"\#(secret)"#)
            _ = try client.isClosedByServer()
        }
        #expect(lines.contains { $0.contains("a line stopped half-way") }, "\(lines)")
        #expect(lines.count { $0.contains("tokens that are wrong") } == 1, "\(lines)")
        for line in lines { #expect(!line.contains(secret) && !line.contains("tokenToken"), "\(line)") }
    }
}
