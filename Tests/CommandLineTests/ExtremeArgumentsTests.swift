import ExemplarServer
import Glibc
import Images
import TestSupport
import Testing

@testable import exemplar

/// Numbers at the ends of every numeric option and beyond, given to the binary itself: a trap ends it by a signal. Not
/// under sanitizers: these are some hundred processes, each of which starts slowly there, and none meets a thread or a
/// pointer that the others' tests do not.
@Suite(.enabled(if: !isInstrumented)) struct ExtremeArgumentsTests {
    /// No numbers, or beyond what a type, a clock or a machine holds.
    private static let strange = [
        "", "nan", "inf", "-inf", "-1", "1e300", "1e-300", "1e-30", "\(Int.max)", "9223372036854775808",
    ]

    /// The least and the greatest that a server takes, too.
    private static let seeds = ["0", "\(1 << 53 - 1)"]

    /// Whether a server's command line is refused for what it says: found out here, since a process for each value
    /// would take long. A trap ends the tests.
    private func isRefused(_ arguments: [String]) throws -> Bool {
        let command = try Exemplar.command(arguments[0])
        do throws(CommandError) {
            _ = try ServerConfiguration(
                ParsedArguments(
                    Array(arguments.dropFirst()), options: command.options, operands: command.operands,
                    environment: [:]))
            return false
        } catch {
            #expect(error.status == 64)
            return true
        }
    }

    /// What the binary made of `arguments`; a server is asked once, then ended.
    private func outcome(_ arguments: [String]) throws -> (status: Int32, signal: Int32, log: String) {
        let process = try BinaryProcess(arguments)
        if arguments[0] == "serve", let port = ServerProcess.readPort(process.log) {
            _ = try BinaryProcess(["health", "--port", "\(port)"]).wait()
            kill(process.identifier, SIGTERM)
        }
        return process.wait()
    }

    /// Runs `command` with each option at each of its `ends`, which it must take, and at what is strange, which it may
    /// refuse; the other options are those of `base`.
    private func run(
        _ command: [String], _ base: [String: String], _ ends: KeyValuePairs<String, [String]>
    ) throws {
        let known = Exemplar.commands.first { $0.name == command[0] }?.options.map(\.name) ?? []
        for (name, ends) in ends {
            #expect(known.contains(name))
            let others = base.filter { $0.key != name }.sorted { $0.key < $1.key }.map { "--\($0.key)=\($0.value)" }
            for value in ends + Self.strange {
                let arguments = command + others + ["--\(name)=\(value)"]
                if command[0] == "serve", !ends.contains(value), try isRefused(arguments) { continue }
                let (status, signal, log) = try outcome(arguments)
                #expect(signal == 0, "\(command[0]) --\(name)=\(value): signal \(signal): \(log)")
                #expect([0, 1, 64].contains(status), "\(command[0]) --\(name)=\(value): status \(status): \(log)")
                #expect(status != 64 || !ends.contains(value), "\(command[0]) --\(name)=\(value): \(log)")
            }
        }
    }

    @Test func serve() throws {
        let model = try TemporaryModel(LocalEmbeddingTests.oracle(channels: 3))
        let seconds = ["0", "1e-9", "1e9"]
        try run(
            ["serve"], ["model": model.path, "port": "0", "threads": "1"],
            [
                "threads": ["1", "64"], "memory-limit": ["1", "\(1 << 50)"], "max-batch": ["1", "4096"],
                "queue": ["1", "\(1 << 24)"], "max-connections": ["1", "\(1 << 20)"],
                "max-line-bytes": ["1024", "\(1 << 30)"], "max-reply-bytes": ["1024", "\(1 << 31)"],
                "max-pixels": ["64", "\(1 << 28)"], "metrics-port": ["0"], "port": ["0"], "brief-batch": seconds,
                "read-timeout": seconds, "line-timeout": seconds, "write-timeout": seconds, "idle-timeout": seconds,
                "auth-timeout": seconds, "drain-timeout": seconds, "progress-timeout": ["1e-9", "1e9"],
            ])
    }

    @Test func load() throws {
        let model = try TemporaryModel(LocalEmbeddingTests.oracle(channels: 3))
        let server = try ServerProcess(["--model", model.path, "--threads", "1"])
        let base = ["port": "\(server.port)", "duration": "0.02", "warm-up": "0", "timeout": "5"]
        try run(
            ["load"], base,
            [
                "rate": ["1e-6", "1e6"], "connections": ["1", "20"], "pipeline": ["1", "1024"],
                "patches": ["1", "256"], "samples": ["1", "64"], "duration": ["1e-9", "0.1"],
                "warm-up": ["0", "1e-9"], "seed": Self.seeds, "timeout": ["1", "86400"], "port": ["1"],
            ])
        try run(["load"], base.merging(["rate": "1e-6", "arrivals": "fixed"]) { $1 }, ["rate": ["1e-6", "1e6"]])
        try run(["health"], ["port": "\(server.port)"], ["timeout": ["1", "86400"], "port": ["65535"]])
        #expect(server.end() == 0)
    }

    @Test func studies() throws {
        let model = try StudyFixture().folder
        let base = ["model": model.path, "count": "2", "draws": "2", "threads": "1"]
        try run(
            ["bound"], base,
            ["draws": ["2", "65"], "count": ["2", "1000000"], "seed": Self.seeds, "threads": ["1", "1024"]])
        try run(
            ["invariance"], base.filter { $0.key != "draws" },
            ["count": ["2", "1000000"], "seed": Self.seeds, "threads": ["1", "1024"]])
    }

    @Test func photographs() throws {
        let model = try StudyFixture().folder
        let folder = try TemporaryFolder()
        try folder.write("photo.png", try LocalEmbeddingTests.photograph(height: 30, width: 41, seed: 1).png())
        for place in Self.strange.flatMap({ ["\($0),0", "0,\($0)"] }) {
            for command in ["surrogates", "embed"] {
                let (status, signal, log) = try outcome([
                    command, folder.path + "/photo.png", "--model", model.path, "--patch", place,
                ])
                #expect(signal == 0 && [1, 64].contains(status), "\(command) --patch \(place): \(log)")
            }
        }
        try run(
            ["surrogates", folder.path + "/photo.png"],
            ["model": model.path, "patch": "1,1", "count": "3", "output": folder.file("sheet.png")],
            [
                "count": ["1", "100"], "seed": Self.seeds, "columns": ["1", "1000"], "enlarge": ["1", "32"],
            ])
    }
}
