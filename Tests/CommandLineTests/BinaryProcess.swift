import Glibc
import Testing

/// The binary that was built beside the tests, as a process of its own.
struct BinaryProcess {
    private(set) var identifier: pid_t = 0
    /// Its standard error.
    let log: Int32

    struct DidNotStart: Error { let reason: String }

    init(_ arguments: [String]) throws {
        var path = [CChar](repeating: 0, count: 4096)
        try #require(readlink("/proc/self/exe", &path, path.count - 1) > 0)
        let own = String(decoding: path.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let binary = String(own[..<(own.lastIndex(of: "/") ?? own.startIndex)] + "/exemplar")
        var pipes: [Int32] = [-1, -1]
        try #require(pipe(&pipes) == 0)
        log = pipes[0]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, pipes[1], STDERR_FILENO)
        // A process that another test starts meanwhile should not hold this one's log open.
        for descriptor in pipes { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        posix_spawn_file_actions_addclose(&actions, pipes[0])
        posix_spawn_file_actions_addclose(&actions, pipes[1])
        let pointers: [UnsafeMutablePointer<CChar>?] = ([binary] + arguments).map { strdup($0) } + [nil]
        // Beside a toolchain Swift's own backtraces may be on; they would take the crashes from the server's handler.
        let environment: [UnsafeMutablePointer<CChar>?] = [strdup("SWIFT_BACKTRACE=enable=no"), nil]
        let status = posix_spawn(&identifier, binary, &actions, nil, pointers, environment)
        (pointers + environment).forEach { free($0) }
        posix_spawn_file_actions_destroy(&actions)
        close(pipes[1])
        guard status == 0 else {
            close(log)
            throw DidNotStart(reason: "\(binary): \(String(cString: strerror(status)))")
        }
    }

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
