import CPlatform
import Glibc
import Platform

/// A listening socket, TCP or Unix.
final class Listener {
    let descriptor: Int32
    /// `127.0.0.1:7350`, or the path of a Unix domain socket.
    let name: String
    /// Whether only this machine can reach it.
    let isLocal: Bool
    private let file: SocketFile?

    private init(_ descriptor: Int32, name: String, isLocal: Bool, file: SocketFile? = nil) {
        self.isLocal = isLocal
        self.descriptor = descriptor
        self.name = name
        self.file = file
    }

    deinit {
        // First the file: once the socket is closed it may be a successor's.
        file?.remove()
        close(descriptor)
    }

    /// Listens on `host` and `port`; port 0 picks a free one.
    ///
    /// - Parameter flag: the one that chooses the port, to be named in errors.
    static func tcp(host: String, port: UInt16, flag: String = "--port") throws(ServerError) -> Listener {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &found)
        guard status == 0, let first = found else {
            throw ServerError(
                "There is no address \(host): \(String(cString: gai_strerror(status))). "
                    + "Give --host 127.0.0.1 for this machine alone, 0.0.0.0 for every interface.")
        }
        defer { freeaddrinfo(first) }
        return try tcp(firstOf: first, host: host, port: port, flag: flag)
    }

    /// Listens on the first of a name's addresses that can be had; the error is that of the last.
    static func tcp(
        firstOf addresses: UnsafeMutablePointer<addrinfo>, host: String, port: UInt16, flag: String
    ) throws(ServerError) -> Listener {
        var address = addresses.pointee
        while true {
            do throws(ServerError) {
                return try tcp(address, host: host, port: port, flag: flag)
            } catch {
                guard let next = address.ai_next else { throw error }
                address = next.pointee
            }
        }
    }

    private static func tcp(
        _ address: addrinfo, host: String, port: UInt16, flag: String
    ) throws(ServerError) -> Listener {
        let descriptor = socket(
            address.ai_family, address.ai_socktype | Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ServerError("Cannot make a socket: \(errorText()).") }
        // A restarted server need not wait for the connections of the old one to be forgotten.
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        detectVanishedPeers(descriptor)
        guard bind(descriptor, address.ai_addr, address.ai_addrlen) == 0, listen(descriptor, 1024) == 0 else {
            let code = errno
            close(descriptor)
            switch code {
            case EADDRINUSE:
                throw ServerError(
                    "\(host):\(port) is in use by another process. Stop it, or choose another port: "
                        + "\(flag) \(port == .max ? 7351 : port + 1), or \(flag) 0 for any free one.")
            case EACCES: throw ServerError("Port \(port) is for the administrator only; choose one from 1024 on.")
            case EADDRNOTAVAIL: throw ServerError("\(host) is no address of this machine; give another --host.")
            default: throw ServerError("Cannot listen on \(host):\(port): \(errorText(code)).")
            }
        }
        let bound = port == 0 ? boundPort(descriptor) : port
        return Listener(
            descriptor, name: host.contains(":") ? "[\(host)]:\(bound)" : "\(host):\(bound)",
            isLocal: isLoopback(address))
    }

    /// Has the connections of a listening socket, which inherit it, end where nobody is at the other end any more: two
    /// minutes after the last word of a client whose machine or network went without one, whether or not something is
    /// on its way to it. So does one that takes nothing of what the system holds for it.
    private static func detectVanishedPeers(_ descriptor: Int32) {
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &one, 4)
        // Seconds of silence before it is asked, seconds between questions, and how many go without an answer.
        for (option, value) in [(TCP_KEEPIDLE, 60), (TCP_KEEPINTVL, 10), (TCP_KEEPCNT, 6)] {
            var value = Int32(value)
            setsockopt(descriptor, Int32(IPPROTO_TCP), option, &value, 4)
        }
        // Nobody is asked as long as something is not acknowledged: that alone would take a quarter of an hour.
        endWhoTakesNothing(after: leastPatience, descriptor)
    }

    private static let leastPatience = Duration.seconds(120)

    private static func endWhoTakesNothing(after patience: Duration, _ descriptor: Int32) {
        var milliseconds = Int32(min(patience / .milliseconds(1), 0x1p30))
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, &milliseconds, 4)
    }

    /// Lets clients of TCP take nothing for so long, where that is more than two minutes.
    func allowSilence(of duration: Duration) {
        Self.endWhoTakesNothing(after: max(duration, Self.leastPatience), descriptor)
    }

    /// 127.0.0.0/8, and ::1.
    static func isLoopback(_ address: addrinfo) -> Bool {
        guard let base = address.ai_addr else { return false }
        let bytes = UnsafeRawBufferPointer(start: base, count: Int(address.ai_addrlen))
        switch address.ai_family {
        case AF_INET: return bytes.count >= 8 && bytes[4] == 127
        // The address lies behind family, port and flow information.
        case AF_INET6: return bytes.count >= 24 && bytes[8..<23].allSatisfy { $0 == 0 } && bytes[23] == 1
        default: return false
        }
    }

    private static func boundPort(_ descriptor: Int32) -> UInt16 {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutableBytes(of: &storage) { bytes in
            guard let base = bytes.baseAddress,
                getsockname(descriptor, base.assumingMemoryBound(to: sockaddr.self), &length) == 0
            else { return 0 }
            // The port lies at the same place for IPv4 and IPv6.
            return UInt16(bigEndian: bytes.load(fromByteOffset: 2, as: UInt16.self))
        }
    }

    /// Listens on a Unix domain socket that only its owner may use. A file that a server left behind is replaced; one
    /// that a server listens on or may listen on, or that is no socket, is an error.
    static func unix(path: String) throws(ServerError) -> Listener {
        // To the system that would be a socket without a file, which anybody may use.
        guard !path.isEmpty else { throw ServerError("--unix has no path; give it one, or leave it out.") }
        guard path.utf8.count <= 107 else {
            throw ServerError("--unix \(path): the path of a socket has at most 107 bytes; give a shorter one.")
        }
        // Two servers that find the same file left behind must not take each other's for it.
        let turn = DirectoryLock(around: path)
        defer { withExtendedLifetime(turn) {} }
        try removeLeftBehind(path)
        let descriptor = try unixSocket()
        // The mask makes the file's mode right from its first moment.
        let mask = umask(0o177)
        let result = exemplar_bind_unix(descriptor, path)
        let code = errno
        umask(mask)
        guard result == 0, listen(descriptor, 1024) == 0 else {
            let failure = errorText(result == 0 ? errno : code)
            close(descriptor)
            throw ServerError("Cannot listen on \(path): \(failure).")
        }
        return Listener(descriptor, name: path, isLocal: true, file: SocketFile(path))
    }

    private static func unixSocket() throws(ServerError) -> Int32 {
        let descriptor = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ServerError("Cannot make a socket: \(errorText()).") }
        return descriptor
    }

    /// Removes the socket's file at `path` if nobody listens on it any more: only a refusal says so. A server whose
    /// queue is full, or one of another user, fails a connection, too, and lives.
    private static func removeLeftBehind(_ path: String) throws(ServerError) {
        guard let file = SocketFile(path) else { return }
        guard file.isSocket else {
            throw ServerError("\(path) is a file and no socket; give --unix another path.")
        }
        let probe = try unixSocket()
        let code = exemplar_connect_unix(probe, path) == 0 ? 0 : errno
        close(probe)
        switch code {
        case ECONNREFUSED: file.remove()
        case ENOENT: break
        case 0, EAGAIN, EINPROGRESS:
            throw ServerError("\(path) is in use by another server; stop it or give another path.")
        default:
            throw ServerError(
                "\(path) cannot be asked whether a server listens on it: \(errorText(code)). Give --unix another path, "
                    + "or remove the file if nobody uses it.")
        }
    }

    /// What came of asking for the next connection.
    enum Accepted {
        case connection(Int32)
        /// Nobody waits.
        case none
        /// The process or the system is out of descriptors or memory, or does not allow it: ask again later.
        case exhausted(Int32)
    }

    func accept() -> Accepted {
        while true {
            let descriptor = exemplar_accept4(self.descriptor)
            if descriptor >= 0 {
                var one: Int32 = 1
                setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
                return .connection(descriptor)
            }
            switch errno {
            // One that went away again is no reason to stop.
            case EINTR, ECONNABORTED, EPROTO: continue
            // A rule that forbids to accept forbids the same client again.
            case EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM:
                let code = errno
                return isAwaited ? .exhausted(code) : .none
            default: return .none
            }
        }
    }

    /// Whether somebody waits to be accepted: the system looks for a descriptor before it looks for a client.
    private var isAwaited: Bool {
        var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&watched, 1, 0) > 0
    }
}

/// Held by one server at a time while it looks at a path and puts its socket there.
private struct DirectoryLock: ~Copyable {
    private let descriptor: Int32

    /// Waits for whoever holds the lock on the directory of `path`, but not for ever: other programs may lock it, too.
    init(around path: String) {
        let name = path.lastIndex(of: "/").map { path[...$0] } ?? "."
        descriptor = open(String(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        for _ in 0..<1000 {
            guard flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK else { return }
            usleep(10_000)
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}

/// The file of a Unix domain socket, told from others that have taken its place at the same path.
private struct SocketFile: Equatable {
    let path: String
    let isSocket: Bool
    private let device: dev_t
    private let inode: ino_t

    /// nil where there is nothing at `path`.
    init?(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        self.path = path
        isSocket = status.st_mode & S_IFMT == S_IFSOCK
        (device, inode) = (status.st_dev, status.st_ino)
    }

    /// Removes it, unless it is another by now.
    func remove() {
        if SocketFile(path) == self { unlink(path) }
    }
}
