import Glibc
import Testing

/// `exemplar serve` as a process of its own, on ports of its own; ended when the last reference goes.
final class ServerProcess {
    private(set) var identifier: pid_t = 0
    let port: Int
    private let log: Int32

    /// Starts the binary that was built beside the tests, and waits until it listens.
    init(_ arguments: [String]) throws {
        var path = [CChar](repeating: 0, count: 4096)
        try #require(readlink("/proc/self/exe", &path, path.count - 1) > 0)
        let own = String(decoding: path.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let binary = own[..<(own.lastIndex(of: "/") ?? own.startIndex)] + "/exemplar"
        var pipes: [Int32] = [-1, -1]
        try #require(pipe(&pipes) == 0)
        log = pipes[0]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, pipes[1], STDERR_FILENO)
        // A server that another test starts meanwhile should not hold this one's log open.
        for descriptor in pipes { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        posix_spawn_file_actions_addclose(&actions, pipes[0])
        posix_spawn_file_actions_addclose(&actions, pipes[1])
        let words = [String(binary), "serve", "--port", "0"] + arguments
        let pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        // Beside a toolchain Swift's own backtraces may be on; they would take the crashes from the server's handler.
        let environment: [UnsafeMutablePointer<CChar>?] = [strdup("SWIFT_BACKTRACE=enable=no"), nil]
        let status = posix_spawn(&identifier, String(binary), &actions, nil, pointers, environment)
        (pointers + environment).forEach { free($0) }
        posix_spawn_file_actions_destroy(&actions)
        close(pipes[1])
        guard status == 0 else {
            close(log)
            throw ServerDidNotStart(log: "\(binary): \(String(cString: strerror(status)))")
        }
        guard let port = Self.readPort(log) else {
            kill(identifier, SIGKILL)
            waitpid(identifier, nil, 0)
            close(log)
            throw ServerDidNotStart(log: "no line `listening on`")
        }
        self.port = port
    }

    deinit {
        if identifier > 0 { _ = end() }
        close(log)
    }

    struct ServerDidNotStart: Error { let log: String }

    /// The port of the line `listening on HOST:PORT`; nil where the log ends without it.
    private static func readPort(_ log: Int32) -> Int? {
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
    func end() -> Int32 {
        kill(identifier, SIGTERM)
        var status: Int32 = 0
        waitpid(identifier, &status, 0)
        identifier = 0
        return (status >> 8) & 0xFF
    }

    /// Sends a signal that it does not outlive; returns the signal that ended it, and the rest of its log.
    func end(by signal: Int32) -> (signal: Int32, log: String) {
        kill(identifier, signal)
        var log: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(self.log, &chunk, chunk.count)
            guard count > 0 else { break }
            log += chunk[..<count]
        }
        var status: Int32 = 0
        waitpid(identifier, &status, 0)
        identifier = 0
        return (status & 0x7F, String(decoding: log, as: UTF8.self))
    }
}
