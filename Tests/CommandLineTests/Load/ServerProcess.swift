import Glibc
import TestSupport

/// `exemplar serve` as a process of its own, on ports of its own; ended when the last reference goes.
final class ServerProcess {
    private var process: BinaryProcess?
    let port: Int

    /// Starts it, and waits until it listens.
    init(_ arguments: [String]) throws {
        let process = try BinaryProcess(["serve", "--port", "0"] + arguments)
        guard let port = Self.readPort(process.log) else {
            kill(process.identifier, SIGKILL)
            _ = process.wait()
            throw ChildProcess.DidNotStart(reason: "no line `listening on`")
        }
        self.process = process
        self.port = port
    }

    deinit { _ = end() }

    /// The port of the line `listening on HOST:PORT`; nil where the log ends without it.
    static func readPort(_ log: Int32) -> Int? {
        var text: [UInt8] = []
        var byte: UInt8 = 0
        while read(log, &byte, 1) == 1 {
            text.append(byte)
            guard byte == 0x0A else { continue }
            let line = String(decoding: text, as: UTF8.self)
            text = []
            if line.contains("listening on "), let colon = line.lastIndex(of: ":") {
                return Int(line[line.index(after: colon)...].dropLast())
            }
        }
        return nil
    }

    /// Sends SIGTERM and waits; returns the exit status.
    func end() -> Int32 { end(by: SIGTERM).status }

    /// Sends a signal and waits; returns the exit status, or the signal that ended it, and the rest of its log.
    func end(by signal: Int32) -> (status: Int32, signal: Int32, log: String) {
        guard let process else { return (0, 0, "") }
        self.process = nil
        kill(process.identifier, signal)
        return process.wait()
    }
}
