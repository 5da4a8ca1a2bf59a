import FoundationEssentials
import Glibc
import TestSupport
import Testing

@testable import exemplar

/// docs/operations.md lists the settings of `exemplar serve`: each one, as the table of options has it.
@Suite struct OperationsTests {
    @Test func everySettingIsInTheDocument() throws {
        let repository = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        let document = try String(contentsOf: repository.appending(path: "docs/operations.md"), encoding: .utf8)
        let rows = document.split(separator: "\n").filter { $0.hasPrefix("| `--") && $0.contains("`EXEMPLAR_") }
        let expected = Command.serve.options.map { option in
            let standard = option.defaultValue.map { "`\($0)`" } ?? ""
            return "| `\(option.synopsis)` | `\(option.environment ?? "")` | \(standard) | \(option.help) |"
        }
        #expect(rows.map(String.init) == expected)
    }

    /// The stack goes to standard error, and the process ends by the signal that it got: one that the sanitizers leave
    /// alone.
    @Test func aCrashLeavesAStack() throws {
        let model = try TemporaryModel(LocalEmbeddingTests.oracle(channels: 3))
        let server = try ServerProcess(["--model", model.path, "--threads", "1"])
        let (_, signal, log) = server.end(by: SIGTRAP)
        #expect(signal == SIGTRAP)
        #expect(log.contains("exemplar crashed with SIGTRAP"))
        #expect(log.contains("libc.so.6"))
    }
}
