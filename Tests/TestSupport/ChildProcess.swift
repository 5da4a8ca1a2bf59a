public import Glibc
import Synchronization

/// A program as a process of its own, whose standard error can be read; nothing else of it is heard.
public struct ChildProcess: Sendable {
    public let identifier: pid_t
    /// The end of its standard error to read from, for whoever started it to close.
    public let standardError: Int32

    public struct DidNotStart: Error {
        public let reason: String

        public init(reason: String) { self.reason = reason }
    }

    /// One at a time, or a child would hold the pipe of another, which then never ends.
    private static let starting = Mutex(())

    /// - Parameters:
    ///   - words: the program's path and its arguments.
    ///   - environment: all of it, NAME=VALUE each.
    public init(_ words: [String], environment: [String]) throws {
        (identifier, standardError) = try Self.starting.withLock { _ in
            try Self.start(words, environment)
        }
    }

    private static func start(_ words: [String], _ environment: [String]) throws -> (pid_t, Int32) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw DidNotStart(reason: "no pipe: \(errno)") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[1]) }
        var arguments = words.map { strdup($0) } + [nil]
        var variables = environment.map { strdup($0) } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        // What whoever runs the tests ignores, or the thread that runs this one blocks, is neither for the program.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        for signal in [SIGPIPE, SIGXFSZ] { sigaddset(&signals, signal) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        var child: pid_t = 0
        let code = posix_spawn(&child, words[0], &actions, &attributes, &arguments, &variables)
        guard code == 0 else {
            close(ends[0])
            throw DidNotStart(reason: "cannot start \(words[0]): \(String(cString: strerror(code)))")
        }
        return (child, ends[0])
    }

    /// Where `exemplar` lies: beside the test bundle.
    public static func exemplar() throws -> String {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &path, path.count)
        let own = String(decoding: path.prefix(max(count, 0)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        let binary =
            own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
            + "/exemplar"
        guard access(binary, X_OK) == 0 else { throw DidNotStart(reason: "\(binary) is not built") }
        return binary
    }
}
