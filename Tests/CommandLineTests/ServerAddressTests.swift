import ExemplarClient
import ExemplarNetwork
import KernelInterface
import Testing

@testable import exemplar

@Suite struct ServerAddressTests {
    func address(_ arguments: [String], _ environment: [String: String] = [:]) throws(CommandError) -> ServerAddress {
        try ServerAddress(
            ParsedArguments(arguments, options: ServerAddress.options(), operands: .none, environment: environment))
    }

    @Test func flagsAndEnvironment() throws {
        #expect(try address([]) == .tcp(host: "127.0.0.1", port: 7350))
        #expect(try address(["--host", "::1", "--port", "9"]) == .tcp(host: "::1", port: 9))
        #expect(try address([], ["EXEMPLAR_UNIX": "/run/e"]) == .unix(path: "/run/e"))
        #expect(try address(["--port", "9"], ["EXEMPLAR_UNIX": "/run/e"]) == .tcp(host: "127.0.0.1", port: 9))
        #expect(try address(["--unix", "/s"], ["EXEMPLAR_HOST": "h"]) == .unix(path: "/s"))
        #expect(throws: CommandError.self) { try address(["--unix", "/s", "--port", "9"]) }
        #expect(throws: CommandError.self) { try address([], ["EXEMPLAR_PORT": "65536"]) }
        // A server's own environment, or what Kubernetes makes of a service's name.
        for port in ["0", "tcp://10.0.0.1:7350"] {
            #expect(try address([], ["EXEMPLAR_PORT": port, "EXEMPLAR_UNIX": "/run/e"]) == .unix(path: "/run/e"))
        }
    }

    @Test func everyInterfaceIsAskedByLoopback() throws {
        #expect(try address([], ["EXEMPLAR_HOST": "0.0.0.0"]) == .tcp(host: "127.0.0.1", port: 7350))
        #expect(try address(["--host", "::"]) == .tcp(host: "::1", port: 7350))
    }
}

@Suite struct ModelChoiceTests {
    func choice(_ arguments: [String]) throws(CommandError) -> ModelChoice {
        try ModelChoice(
            ParsedArguments(
                arguments, options: ModelChoice.options + ServerAddress.options(), operands: .none, environment: [:]))
    }

    @Test func aFolderAndAServerExcludeEachOther() throws {
        guard case .served(nil) = try choice([]) else { throw CommandError.failure("not the default model") }
        guard case .served("a") = try choice(["--model-name", "a"]) else { throw CommandError.failure("not a") }
        guard case .folder("m", let options) = try choice(["--model", "m", "--isa", "portable"]) else {
            throw CommandError.failure("not the folder")
        }
        #expect(options.instructionSet == .portable)
        #expect(options.optimize == .throughput)
        guard case .folder("m", let options) = try choice(["--model", "m", "--optimize", "latency"]) else {
            throw CommandError.failure("not the folder")
        }
        #expect(options.optimize == .latency)
        #expect(throws: CommandError.self) { try choice(["--optimize", "latency"]) }
        #expect(throws: CommandError.self) { try choice(["--isa", "portable"]) }
        #expect(throws: CommandError.self) { try choice(["--model", "m", "--port", "1"]) }
        #expect(throws: CommandError.self) { try choice(["--model", "m", "--isa", "sse9"]) }
    }
}
