import ExemplarServer
import FoundationEssentials
import Glibc
import TestSupport
import Testing

@testable import exemplar

/// docs/operations.md lists the settings of `exemplar serve`: each one, as the table of options has it.
@Suite struct OperationsTests {
    private func text(of path: String) throws -> String {
        let repository = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        return try String(contentsOf: repository.appending(path: path), encoding: .utf8)
    }

    @Test func everySettingIsInTheDocument() throws {
        let document = try text(of: "docs/operations.md")
        let rows = document.split(separator: "\n").filter { $0.hasPrefix("| `--") && $0.contains("`EXEMPLAR_") }
        let expected = Command.serve.options.map { option in
            let standard = option.defaultValue.map { "`\($0)`" } ?? ""
            return "| `\(option.synopsis)` | `\(option.environment ?? "")` | \(standard) | \(option.help) |"
        }
        #expect(rows.map(String.init) == expected)
    }

    /// Kubernetes sets NAME_PORT=tcp://… and the like in every pod for a Service, unless it is told not to: none may be
    /// a setting. Every setting of the manifest is one of `exemplar serve`, by a value that it takes.
    @Test func theManifestSetsWhatServeTakes() throws {
        let manifest = try text(of: "deploy/kubernetes/exemplar.yaml")
        let settings = Set(Command.serve.options.compactMap(\.environment))
        let service = try #require(manifest.split(separator: "---").first { $0.contains("kind: Service\n") })
        let name = try #require(service.firstMatch(of: /name: ([a-z-]+)\n/)).output.1
        let links = ["PORT", "SERVICE_HOST", "SERVICE_PORT"].map { "\(name.uppercased())_\($0)" }
        if !settings.isDisjoint(with: links) { #expect(manifest.contains("\n      enableServiceLinks: false\n")) }
        var environment: [String: String] = [:]
        for match in manifest.matches(of: /- \{name: (EXEMPLAR_[A-Z_]+), value: "?([^"}]*)"?\}/) {
            environment[String(match.output.1)] = String(match.output.2)
        }
        #expect(environment["EXEMPLAR_PORT"] != nil && settings.isSuperset(of: environment.keys), "\(environment)")
        environment["EXEMPLAR_TOKEN_FILE"] = nil
        let configuration = try ServerConfiguration(
            ParsedArguments([], options: Command.serve.options, operands: .none, environment: environment))
        #expect(manifest.contains("{name: lines, containerPort: \(configuration.port)}"))
        #expect(manifest.contains("{name: metrics, containerPort: \(configuration.metricsPort ?? 0)}"))
    }

    /// Two free ports are two, whatever their numbers.
    @Test func twoListenersHaveTwoPorts() throws {
        func configuration(_ words: [String]) throws -> ServerConfiguration {
            try ServerConfiguration(
                ParsedArguments(words, options: Command.serve.options, operands: .none, environment: [:]))
        }
        let error = #expect(throws: CommandError.self) { try configuration(["--metrics-port", "7350"]) }
        #expect(error?.status == 64 && error?.message.contains("--metrics-port") == true, "\(error?.message ?? "")")
        #expect(try configuration(["--port", "0", "--metrics-port", "0"]).metricsPort == 0)
    }

    /// The stack goes to standard error, and the process ends by the signal that it got. Not under sanitizers: a signal
    /// that meets their runtime while it holds a lock of its own waits for ever.
    @Test(.enabled(if: !isInstrumented)) func aCrashLeavesAStack() throws {
        let model = try TemporaryModel(LocalEmbeddingTests.oracle(channels: 3))
        let server = try ServerProcess(["--model", model.path, "--threads", "1"])
        let (_, signal, log) = server.end(by: SIGTRAP)
        #expect(signal == SIGTRAP)
        #expect(log.contains("exemplar crashed with SIGTRAP"))
        #expect(log.contains("libc.so.6"))
    }

    /// The greatest number that each setting takes, by its flag; one more is refused with a word on what is taken.
    @Test(arguments: [
        ("port", 65_535), ("metrics-port", 65_535), ("threads", 1024), ("event-loops", 64), ("memory-limit", 1 << 50),
        ("max-batch", 4096), ("queue", 1 << 24), ("max-connections", 1 << 20), ("max-line-bytes", 1 << 30),
        ("max-reply-bytes", 1 << 31), ("max-pixels", 1 << 28),
    ])
    func numbersEndSomewhere(name: String, greatest: Int) throws {
        func configuration(_ value: Int) throws -> ServerConfiguration {
            try ServerConfiguration(
                ParsedArguments(
                    ["--\(name)", "\(value)"], options: Command.serve.options, operands: .none, environment: [:]))
        }
        _ = try configuration(greatest)
        let least = name.hasSuffix("port") ? 0 : 1
        _ = try configuration(least)
        for value in [greatest + 1, least - 1] {
            #expect(
                throws: CommandError.usage(
                    "--\(name) is '\(value)'; it must be a whole number from \(least) to \(greatest)")
            ) { try configuration(value) }
        }
    }
}
