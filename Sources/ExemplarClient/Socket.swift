import CPlatform
import Glibc
package import JSONRPC
import Platform

/// A connected, non-blocking stream socket that is closed with its owner. Waiting is bounded by a timeout.
package struct Socket: ~Copyable {
    /// To be polled, together with others; it stays this socket's own.
    package let descriptor: CInt
    let address: ServerAddress
    let timeout: Duration

    /// Connects to `address`, trying each address that its name resolves to.
    package init(connectingTo address: ServerAddress, timeout: Duration) throws(ClientError) {
        self.address = address
        self.timeout = timeout
        switch address {
        case .tcp(let host, let port): descriptor = try Self.open(address, host, port, timeout)
        case .unix(let path):
            guard (1...107).contains(path.utf8.count) else {
                throw .badAddress(address, reason: "the path of a socket has 1 to 107 bytes")
            }
            descriptor = try Self.open(address, AF_UNIX, timeout) { exemplar_connect_unix($0, path) }
        }
    }

    deinit { close(descriptor) }

    /// Sends what the socket takes now from the front of `buffer`, without waiting.
    package func flush(_ buffer: inout ByteBuffer) throws(ClientError) {
        while !buffer.isEmpty {
            let sent = buffer.withUnsafeBytes { Self.transmit(descriptor, $0) }
            if sent >= 0 {
                buffer.consume(sent)
            } else if errno == EAGAIN || errno == EWOULDBLOCK {
                return
            } else if errno != EINTR {
                throw .disconnected(address, reason: errorText())
            }
        }
    }

    /// Receives what has come, at most a chunk, without waiting. Returns how many bytes: fewer than a chunk has were
    /// all.
    package func fill(_ framer: inout LineFramer, through chunk: UnsafeMutableRawBufferPointer) throws(ClientError)
        -> Int
    {
        while true {
            let count = recv(descriptor, chunk.baseAddress, chunk.count, 0)
            if count > 0 {
                framer.append(UnsafeRawBufferPointer(rebasing: chunk[..<count]))
                return count
            }
            if count == 0 { throw .disconnected(address, reason: "the server closed it") }
            if errno == EAGAIN || errno == EWOULDBLOCK { return 0 }
            if errno != EINTR { throw .disconnected(address, reason: errorText()) }
        }
    }

    /// Waits until something can be received or, if asked, sent.
    package func wait(toSend: Bool) throws(ClientError) {
        let events = CShort(POLLIN) | (toSend ? CShort(POLLOUT) : 0)
        guard try Self.wait(descriptor, events, timeout, address) else { throw .timedOut(address, after: timeout) }
    }

    private static func wait(
        _ descriptor: CInt, _ events: CShort, _ timeout: Duration, _ address: ServerAddress
    ) throws(ClientError) -> Bool {
        let deadline = ContinuousClock.now + timeout
        while true {
            let left = max(.zero, deadline - .now)
            let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
            var entry = pollfd(fd: descriptor, events: events, revents: 0)
            // One more millisecond than is left, so that the rounding down never spins.
            let ready = poll(&entry, 1, CInt(clamping: milliseconds + (left > .zero ? 1 : 0)))
            if ready > 0 { return true }
            if ready == 0, ContinuousClock.now >= deadline { return false }
            if ready < 0, errno != EINTR { throw .unreachable(address, reason: errorText()) }
        }
    }

    private static func transmit(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) -> Int {
        // MSG_NOSIGNAL: a peer that is gone is an error here and not a signal that ends the process.
        send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
    }

    private static func open(
        _ address: ServerAddress, _ host: String, _ port: Int, _ timeout: Duration
    ) throws(ClientError) -> CInt {
        guard (1...65_535).contains(port) else { throw .badAddress(address, reason: "ports go from 1 to 65535") }
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        var status = getaddrinfo(host, "\(port)", &hints, &list)
        if status != 0 {
            // Without a configured interface AI_ADDRCONFIG hides the loopback addresses of numeric hosts too.
            hints.ai_flags = AI_NUMERICSERV
            status = getaddrinfo(host, "\(port)", &hints, &list)
        }
        guard status == 0, let first = list else {
            let explanation = gai_strerror(status).map { String(cString: $0) } ?? "the name does not resolve"
            throw .badAddress(address, reason: "the host \(host) was not found (\(explanation))")
        }
        defer { freeaddrinfo(list) }
        var failure = ClientError.noServer(address)
        for candidate in sequence(first: first, next: { $0.pointee.ai_next }) {
            do {
                let descriptor = try open(address, candidate.pointee.ai_family, timeout) {
                    connect($0, candidate.pointee.ai_addr, candidate.pointee.ai_addrlen)
                }
                var enabled: CInt = 1
                setsockopt(
                    descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &enabled, socklen_t(MemoryLayout<CInt>.size))
                return descriptor
            } catch {
                failure = error
            }
        }
        throw failure
    }

    /// - Parameter connect: the system call; 0, or -1 with `errno`.
    private static func open(
        _ address: ServerAddress, _ family: CInt, _ timeout: Duration, _ connect: (CInt) -> CInt
    ) throws(ClientError) -> CInt {
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(family, kind, 0)
        guard descriptor >= 0 else { throw .unreachable(address, reason: errorText()) }
        do throws(ClientError) {
            var code = connect(descriptor) == 0 ? 0 : errno
            if code == EINPROGRESS || code == EINTR {
                guard try wait(descriptor, CShort(POLLOUT), timeout, address) else {
                    throw .timedOut(address, after: timeout)
                }
                var size = socklen_t(MemoryLayout<CInt>.size)
                if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) != 0 { code = errno }
            }
            switch code {
            case 0: return descriptor
            case ECONNREFUSED, ENOENT: throw .noServer(address)
            default: throw .unreachable(address, reason: errorText(code))
            }
        } catch {
            close(descriptor)
            throw error
        }
    }
}
