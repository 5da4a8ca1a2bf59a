import JSONRPC
import TestSupport
import Testing

/// Protocol §1 and the small methods of §2: ids, notifications, batches, and what each method answers.
@Suite struct RequestTests {
    let oracle = Oracle.tiny()
    let model: TemporaryModel
    let server: ServerProcess
    let client: LineSocket

    init() throws {
        model = try TemporaryModel(oracle)
        server = try ServerProcess(model: model.path)
        client = try server.connect()
    }

    static let ids = [
        "0", "-1", "1.50", "1e3", "-0.0E+00", "123456789012345678901234567890", "null", "\"\"", #""a""#,
        #""\u00e9\/\"\\""#, #""é🐎""#, #""\ud83d\udc0e""#, "\"" + String(repeating: "x", count: 5000) + "\"",
    ]

    /// One letter with so many accents is a single character to whoever reads it, and what it means in Unicode takes
    /// minutes to find out.
    @Test(.timeLimit(.minutes(1))) func errorsRepeatLittleOfANameHoweverItIsMade() throws {
        let name = "a" + String(repeating: "\u{301}\u{323}", count: 60_000)
        let layers = oracle.embedLine([1], ", \"layers\": [\"\(name)\"]")
        for line in [#"{"jsonrpc":"2.0","id":1,"method":"model","params":{"model":"\#(name)"}}"#, layers] {
            let reply = try client.ask(line)
            #expect(reply.code == -32003 && reply.message.utf8.count < 1000, "\(reply.line.utf8.count) bytes")
            #expect(reply.message.contains("tiny"))
        }
    }

    @Test func idsComeBackByteForByte() throws {
        for id in Self.ids {
            for request in [
                #"{"jsonrpc":"2.0","id":\#(id),"method":"live"}"#,
                #"{"method":"live", "id" : \#(id) ,"jsonrpc":"2.0"}"#,
                oracle.embedLine(id: id), #"{"jsonrpc":"2.0","id":\#(id),"method":"nope"}"#,
                #"{"id":\#(id),"method":"live"}"#,
            ] {
                let reply = try client.ask(request)
                #expect(reply.line.hasPrefix(#"{"jsonrpc":"2.0","id":\#(id),""#), "\(request)")
            }
        }
    }

    @Test func notificationsAreNotAnswered() throws {
        for line in [
            #"{"jsonrpc":"2.0","method":"live"}"#, #"{"jsonrpc":"2.0","method":"nope"}"#,
            #"{"jsonrpc":"2.0","method":"embed","params":{}}"#, #"{"jsonrpc":"2.0","method":"live","params":[]}"#,
            #"[{"jsonrpc":"2.0","method":"live"},{"jsonrpc":"2.0","method":"stats"}]"#,
        ] {
            try client.send(line: line)
        }
        #expect(try client.isQuiet())
    }

    /// Nobody would get the embedding: one that is asked for after it comes without it.
    @Test func workOfANotificationIsNotDone() throws {
        let line = oracle.embedLine()
        let notification = line.replacing(#""id":1,"#, with: "")
        #expect(notification != line)
        for sent in [notification, "[\(notification),\(notification)]"] { try client.send(line: sent) }
        #expect(try client.ask(line).embeddings.count == 1)
        let stats = try client.ask(LifeCycleTests.call("stats")).result
        #expect(stats?["patches"] == 1 && stats?["requests"]?["embed"] == 1)
        #expect(stats?["latency_ms"]?["total"]?["count"] == 1)
    }

    @Test func whatIsNoRequestIsInvalid() throws {
        for (line, id) in [
            ("{}", "null"), ("42", "null"), ("\"live\"", "null"), ("null", "null"), ("true", "null"),
            (#"{"jsonrpc":"2.0","id":1}"#, "1"), (#"{"jsonrpc":"2.0","id":1,"method":7}"#, "1"),
            (#"{"jsonrpc":"1.0","id":"a","method":"live"}"#, "\"a\""),
            (#"{"jsonrpc":2.0,"id":2,"method":"live"}"#, "2"),
            (#"{"method":"live"}"#, "null"), (#"{"jsonrpc":"2.0","id":true,"method":"live"}"#, "null"),
            (#"{"jsonrpc":"2.0","id":[1],"method":"live"}"#, "null"),
            (#"{"jsonrpc":"2.0","id":{},"method":"live"}"#, "null"), ("[]", "null"),
        ] {
            let reply = try client.ask(line)
            #expect(reply.code == -32600, "\(line)")
            #expect(reply.line.hasPrefix(#"{"jsonrpc":"2.0","id":\#(id),"error":"#), "\(line): \(reply.line)")
        }
        #expect(try client.isQuiet())
    }

    @Test func batches() throws {
        let live = #"{"jsonrpc":"2.0","id":1,"method":"live"}"#
        func elements(_ line: String) throws -> [JSONValue] {
            guard case .array(let elements) = try client.ask(line).value else { return [] }
            return elements
        }
        #expect(try elements("[\(live)]").count == 1)
        let mixed = try elements(
            "[\(oracle.embedLine(id: "\"e\"", [3])),7,{\"jsonrpc\":\"2.0\",\"method\":\"live\"},\(live),"
                + #"{"jsonrpc":"2.0","id":2,"method":"nope"},[],{"jsonrpc":"2.0","id":3,"method":"embed"}]"#)
        #expect(mixed.count == 6)
        #expect(mixed.count { $0["id"] == .null && $0["error"]?["code"] == -32600 } == 2)
        #expect(mixed.contains { $0["id"] == "e" && $0["result"]?["dim"] == 7 })
        #expect(mixed.contains { $0["id"] == 2 && $0["error"]?["code"] == -32601 })
        #expect(mixed.contains { $0["id"] == 3 && $0["error"]?["code"] == -32602 })
        let full = try elements("[" + Array(repeating: live, count: 1000).joined(separator: ",") + "]")
        #expect(full.count == 1000)
        let overfull = try client.ask("[" + Array(repeating: live, count: 1001).joined(separator: ",") + "]")
        #expect(overfull.code == -32600 && overfull.id == .null)
        let work = try elements(
            "[" + (0..<200).map { oracle.embedLine(id: "\($0)", [$0]) }.joined(separator: ",") + "]")
        #expect(Set(work.compactMap { int($0["id"]) }) == Set(0..<200))
        #expect(try client.isQuiet())
    }

    /// A thousand `stats` in one line are counted once.
    @Test func statisticsOfABatchAreOfOneTime() throws {
        let stats = #"{"jsonrpc":"2.0","id":1,"method":"stats"}"#
        guard case .array(let replies) = try client.ask("[7,\(stats),8,\(stats),9]").value else {
            throw TestFailure("no batch")
        }
        let figures = replies.compactMap { $0["result"] }
        #expect(figures.count == 2 && figures[0] == figures[1])
        #expect(figures.first?["errors"]?["-32600"] == 1)
        #expect(try client.ask(stats).result?["errors"]?["-32600"] == 3)
    }

    @Test func parametersAreObjectsOfKnownNames() throws {
        for method in ["live", "ready", "stats", "models", "model", "auth", "embed", "classify", "transform"] {
            let list = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":[]}"#)
            #expect(list.code == -32602, "\(method)")
            let unknown = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{"tpyo":1}}"#)
            #expect(unknown.code == -32602 && unknown.parameter == "tpyo", "\(method)")
        }
        #expect(try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#).code == -32601)
    }

    @Test func theSmallMethods() throws {
        for method in ["live", "ready"] {
            #expect(try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)"}"#).result?["status"] == "ok")
        }
        let described = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"model","params":{"model":"tiny"}}"#)
        #expect(described.result?["name"] == "tiny")
        #expect(described.result?["embedding"] == "fc1")
        #expect(described.result?["dim"] == 7)
        #expect(described.result?["patch_shape"] == [9, 8, 3])
        #expect(described.result?["self_test"] == "passed")
        #expect(described.result?["protocol"] == 1)
        #expect(described.result?["threads"] == 2)
        #expect(described.result?["label_bytes"] == 0)
        let models = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"models"}"#)
        #expect(models.result?["default"] == "tiny")
        _ = try client.ask(oracle.embedLine())
        let stats = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"stats"}"#)
        #expect(stats.result?["patches"] == 1)
        #expect(stats.result?["requests"]?["embed"] == 1)
        #expect(stats.result?["queue"]?["depth"] == 0)
        #expect(stats.result?["connections"]?["open"] == 1)
        // Without a token there is nothing to be wrong.
        let auth = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"auth","params":{"token":"any"}}"#)
        #expect(auth.result?["status"] == "ok")
    }
}
