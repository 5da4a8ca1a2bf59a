import Glibc
import JSONRPC
import TestSupport
import Testing

/// Settings of `exemplar serve` from the environment, over which the flag has the last word, seen from outside.
@Suite(.waiting) struct ServeSettingsTests {
    private let oracle = Oracle.tiny()
    private let model: TemporaryModel

    init() throws { model = try TemporaryModel(oracle) }

    /// A server that listens, with nothing on its command line but `arguments`.
    private func server(_ variables: [String: String], _ arguments: [String] = []) throws -> ServerProcess {
        let server = try ServerProcess(launching: ["serve"] + arguments, variables: variables)
        try server.waitUntilItListens()
        return server
    }

    /// Nothing but the model, which every one of them needs.
    private var base: [String: String] {
        ["EXEMPLAR_MODEL": model.path, "EXEMPLAR_PORT": "0", "EXEMPLAR_THREADS": "1"]
    }

    private static func call(_ method: String, _ parameters: String = "{}") -> String {
        #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(parameters)}"#
    }

    @Test func thePort() throws {
        // 7350 is the default, and no port that the system gives to those that want any.
        #expect(try server(base).port != 7350)
        // What only the flag can have said: the variable's is no port at all.
        var variables = base
        variables["EXEMPLAR_PORT"] = "65536"
        #expect(try server(variables, ["--port", "0"]).connect().isQuiet())
        let refused = try ServerProcess(launching: ["serve"], variables: variables)
        #expect(try refused.waitForExit() == 64)
        #expect(refused.log.contains("EXEMPLAR_PORT is '65536'"), "\(refused.log)")
    }

    @Test func theQueue() throws {
        var variables = base
        variables["EXEMPLAR_QUEUE"] = "3"
        let client = try server(variables).connect()
        #expect(try client.ask(oracle.embedLine([1, 2, 3])).embeddings.count == 3)
        let refused = try client.ask(oracle.embedLine([1, 2, 3, 4]))
        #expect(refused.code == -32602 && refused.parameter == "patches", "\(refused.line)")
        #expect(try client.ask(Self.call("stats")).result?["queue"]?["limit"] == 3)
        let flagged = try server(variables, ["--queue", "4"]).connect()
        #expect(try flagged.ask(oracle.embedLine([1, 2, 3, 4])).embeddings.count == 4)
    }

    @Test func theToken() throws {
        let (first, second) = (try TemporaryFile("of the variable\n"), try TemporaryFile("of the flag\n"))
        var variables = base
        variables["EXEMPLAR_TOKEN_FILE"] = first.path
        for (arguments, right, wrong) in [
            ([], "of the variable", "of the flag"), (["--token-file", second.path], "of the flag", "of the variable"),
        ] {
            let client = try server(variables, arguments).connect()
            #expect(try client.ask(oracle.embedLine()).code == -32002)
            #expect(try client.ask(Self.call("auth", #"{"token":"\#(wrong)"}"#)).code == -32002)
            #expect(try client.ask(Self.call("auth", #"{"token":"\#(right)"}"#)).code == nil)
            #expect(try client.ask(oracle.embedLine()).embeddings.count == 1)
        }
    }

    @Test func beyondThisMachine() throws {
        var variables = base
        variables["EXEMPLAR_HOST"] = "0.0.0.0"
        for off in [nil, "", "0", "no"] as [String?] {
            variables["EXEMPLAR_INSECURE"] = off
            let refused = try ServerProcess(launching: ["serve"], variables: variables)
            #expect(try refused.waitForExit() == 1)
            #expect(refused.log.contains("--insecure"), "\(refused.log)")
        }
        // A switch that is off in the environment is on where it is given.
        for (on, arguments) in [("1", []), ("yes", []), ("0", ["--insecure"])] {
            variables["EXEMPLAR_INSECURE"] = on
            let server = try server(variables, arguments)
            #expect(server.log.contains("listening on 0.0.0.0:\(server.port)"), "\(server.log)")
            #expect(try server.connect().isQuiet())
        }
        // And the other way round: a flag for a host that needs no leave.
        variables["EXEMPLAR_INSECURE"] = "0"
        #expect(try server(variables, ["--host", "127.0.0.1"]).connect().isQuiet())
    }

    @Test(arguments: ["exact", "standard", "fast"]) func theAccuracy(_ accuracy: String) throws {
        let wide = try TemporaryModel(.wide())
        for (variables, arguments) in [
            (["EXEMPLAR_ACCURACY": accuracy], []),
            (["EXEMPLAR_ACCURACY": accuracy == "exact" ? "fast" : "exact"], ["--accuracy", accuracy]),
        ] as [([String: String], [String])] {
            let server = try server(base.merging(variables) { $1 }, ["--model", wide.path] + arguments)
            let model = try server.connect().ask(Self.call("model")).result
            #expect(model?["accuracy"] == .string(accuracy))
            #expect(model?["self_test"] == "passed")
            #expect(model?["threads"] == 1)
        }
    }

    /// No reply tells the goal: the algorithms that it chooses are known by their bits.
    @Test func theGoal() throws {
        let planned = Oracle.planned()
        let folder = try TemporaryModel(planned, golden: 0)
        var variables = base.merging(["EXEMPLAR_MODEL": folder.path]) { $1 }
        func embeddings(_ goal: String, _ arguments: [String] = []) throws -> [JSONValue] {
            variables["EXEMPLAR_OPTIMIZE"] = goal
            return try server(variables, arguments).connect().ask(planned.embedLine()).embeddings
        }
        let throughput = try embeddings("throughput")
        #expect(throughput.count == 1)
        #expect(try embeddings("latency") != throughput)
        #expect(try embeddings("latency", ["--optimize", "throughput"]) == throughput)
        variables["EXEMPLAR_OPTIMIZE"] = "speed"
        let refused = try ServerProcess(launching: ["serve"], variables: variables)
        #expect(try refused.waitForExit() == 64)
        #expect(refused.log.contains("EXEMPLAR_OPTIMIZE is 'speed'"), "\(refused.log)")
    }

    /// Without `--default-model` it is the first name in the order of bytes, wherever its folder stands.
    @Test func theDefaultModel() throws {
        let names = ["b", "a-c", "Z", "a", "Zz"]
        let oracles = names.map { Oracle.tiny(name: $0) }
        let models = try oracles.map { try TemporaryModel($0) }
        let folder = try ModelsFolder(zip(0..., models).map { ("\($0)", $1) })
        var variables = ["EXEMPLAR_MODELS": folder.path, "EXEMPLAR_PORT": "0"]
        let client = try server(variables).connect()
        let result = try client.ask(Self.call("models")).result
        #expect(result?["default"] == "Z")
        #expect(array(result?["models"]).map { string($0["name"]) } == ["Z", "Zz", "a", "a-c", "b"])
        #expect(try client.ask(Self.call("model")).result?["name"] == "Z")
        #expect(try client.ask(oracle.embedLine()).result?["model"] == "Z")
        variables["EXEMPLAR_DEFAULT_MODEL"] = "a"
        #expect(try server(variables).connect().ask(oracle.embedLine()).result?["model"] == "a")
        let flagged = try server(variables, ["--default-model", "b"]).connect()
        #expect(try flagged.ask(oracle.embedLine()).result?["model"] == "b")
    }

    /// One model or a folder of them: of what is given the flag counts, and of the variables the narrower one.
    @Test func oneModelOrAFolder() throws {
        let others = try ["a", "b"].map { try TemporaryModel(.tiny(name: $0), golden: 0) }
        let folder = try ModelsFolder(zip(["a", "b"], others).map { ($0, $1) })
        let variables = base.merging(["EXEMPLAR_MODELS": folder.path]) { $1 }
        func names(_ variables: [String: String], _ arguments: [String] = []) throws -> [String?] {
            let models = try server(variables, arguments).connect().ask(Self.call("models")).result?["models"]
            return array(models).map { string($0["name"]) }
        }
        #expect(try names(variables) == ["tiny"])
        #expect(try names(variables, ["--models", folder.path]) == ["a", "b"])
        #expect(try names(base, ["--models", folder.path]) == ["a", "b"])
        #expect(try names(variables, ["--model", others[1].path]) == ["b"])
        var folderAlone = variables
        folderAlone["EXEMPLAR_MODEL"] = nil
        #expect(try names(folderAlone) == ["a", "b"])
        #expect(try names(folderAlone, ["--model", model.path]) == ["tiny"])
        let both = try ServerProcess(
            launching: ["serve", "--models", folder.path, "--model", model.path], variables: ["EXEMPLAR_PORT": "0"])
        #expect(try both.waitForExit() == 64)
        #expect(both.log.contains("--models") && both.log.contains("not both"), "\(both.log)")
    }
}
