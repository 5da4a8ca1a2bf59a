import Glibc
import TestSupport

/// The binary that was built beside the tests, as a process of its own.
struct BinaryProcess {
    private let child: ChildProcess

    init(_ arguments: [String]) throws {
        // Beside a toolchain Swift's own backtraces may be on; they would take the crashes from the server's handler.
        child = try ChildProcess(
            [ChildProcess.exemplar()] + arguments, environment: ["SWIFT_BACKTRACE=enable=no"])
    }

    /// Runs it to its end: its exit status, and what it wrote to its standard output.
    static func output(_ arguments: [String]) throws -> (status: Int32, text: String) {
        let folder = try TemporaryFolder()
        let file = folder.file("output")
        let process = BinaryProcess(
            child: try ChildProcess(
                ["/bin/sh", "-c", #"exec "$0" "$@" > "$OUTPUT""#, ChildProcess.exemplar()] + arguments,
                environment: ["OUTPUT=\(file)"]))
        let status = process.wait().status
        return (status, String(decoding: try contents(file), as: UTF8.self))
    }

    /// - Parameter script: of a shell, to which the binary is $0 and the arguments $1 and so on.
    init(shell script: String, _ arguments: [String]) throws {
        child = try ChildProcess(["/bin/sh", "-c", script, ChildProcess.exemplar()] + arguments, environment: [])
    }

    private init(child: ChildProcess) { self.child = child }

    var identifier: pid_t { child.identifier }
    /// Its standard error.
    var log: Int32 { child.standardError }

    /// Waits for its end: the exit status, or the signal that ended it, and the rest of its log, which is closed.
    func wait() -> (status: Int32, signal: Int32, log: String) {
        defer { close(log) }
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(log, &chunk, chunk.count)
            guard count > 0 else { break }
            text += chunk[..<count]
        }
        var status: Int32 = 0
        waitpid(identifier, &status, 0)
        return ((status >> 8) & 0xFF, status & 0x7F, String(decoding: text, as: UTF8.self))
    }
}
