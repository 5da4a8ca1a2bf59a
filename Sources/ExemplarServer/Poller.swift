import CPlatform
import Glibc

/// Waits for many descriptors at once: Linux's epoll, level-triggered.
struct Poller: ~Copyable {
    /// What a descriptor is watched for, or ready for.
    struct Interest: OptionSet, Sendable {
        let rawValue: UInt32

        static let read = Interest(rawValue: UInt32(EPOLLIN.rawValue))
        static let write = Interest(rawValue: UInt32(EPOLLOUT.rawValue))
        /// Reported whether asked for or not: the peer is gone, or the socket broken.
        static let failure = Interest(rawValue: UInt32(EPOLLERR.rawValue | EPOLLHUP.rawValue))
    }

    struct Event {
        let token: UInt64
        let ready: Interest
    }

    private let descriptor: Int32
    private static let capacity = 64

    init() throws(ServerError) {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw ServerError("Cannot watch sockets: \(errorText()).") }
    }

    deinit { close(descriptor) }

    /// Begins to watch `file`; its events carry `token`. False where the system has no room for it.
    func add(_ file: Int32, _ interest: Interest, token: UInt64) -> Bool {
        exemplar_epoll_control(descriptor, EPOLL_CTL_ADD, file, interest.rawValue, token) == 0
    }

    func change(_ file: Int32, _ interest: Interest, token: UInt64) {
        _ = exemplar_epoll_control(descriptor, EPOLL_CTL_MOD, file, interest.rawValue, token)
    }

    func remove(_ file: Int32) {
        _ = exemplar_epoll_control(descriptor, EPOLL_CTL_DEL, file, 0, 0)
    }

    /// Blocks until something is ready, a signal came or `timeout` is over; nil waits for ever.
    func wait(timeout: Duration?) -> [Event] {
        // Rounded up, so that a timer is over when its time has come.
        let milliseconds = timeout.map { Int32(clamping: Int(min($0 / .milliseconds(1), 1e6).rounded(.up))) } ?? -1
        var ready = InlineArray<64, UInt32>(repeating: 0)
        var tokens = InlineArray<64, UInt64>(repeating: 0)
        var readySpan = ready.mutableSpan
        var tokenSpan = tokens.mutableSpan
        let count = readySpan.withUnsafeMutableBufferPointer { ready in
            tokenSpan.withUnsafeMutableBufferPointer { tokens in
                exemplar_epoll_wait(
                    descriptor, ready.baseAddress, tokens.baseAddress, Int32(Self.capacity), max(milliseconds, -1))
            }
        }
        return (0..<max(0, Int(count))).map { Event(token: tokens[$0], ready: Interest(rawValue: ready[$0])) }
    }
}

/// A descriptor that another thread makes readable: how workers wake the event loop.
final class WakeUp: Sendable {
    let descriptor: Int32

    init() throws(ServerError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard descriptor >= 0 else { throw ServerError("Cannot make an eventfd: \(errorText()).") }
    }

    deinit { close(descriptor) }

    func signal() {
        var one: UInt64 = 1
        // A signal that was lost would never be made up for: later deliveries rely on the first one's.
        while write(descriptor, &one, 8) < 0, errno == EINTR {}
    }

    func clear() {
        var count: UInt64 = 0
        while read(descriptor, &count, 8) < 0, errno == EINTR {}
    }
}

/// What `errno` means, in words.
func errorText(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }
