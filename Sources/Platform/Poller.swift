internal import CPlatform
import Glibc

/// Waits for many descriptors at once: Linux's epoll, level-triggered.
public struct Poller: ~Copyable {
    /// What a descriptor is watched for, or ready for.
    public struct Interest: OptionSet, Sendable {
        public let rawValue: UInt32

        public init(rawValue: UInt32) { self.rawValue = rawValue }

        public static let read = Interest(rawValue: UInt32(EPOLLIN.rawValue))
        public static let write = Interest(rawValue: UInt32(EPOLLOUT.rawValue))
        /// Reported whether asked for or not: the peer is gone, or the socket broken.
        public static let failure = Interest(rawValue: UInt32(EPOLLERR.rawValue | EPOLLHUP.rawValue))
    }

    public struct Event {
        public let token: UInt64
        public let ready: Interest
    }

    private let descriptor: Int32
    private static let capacity = 64

    /// Nil, with `errno` set, where the system has no room for another.
    public init?() {
        let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { return nil }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Begins to watch `file`; its events carry `token`. False where the system has no room for it.
    public func add(_ file: Int32, _ interest: Interest, token: UInt64) -> Bool {
        exemplar_epoll_control(descriptor, EPOLL_CTL_ADD, file, interest.rawValue, token) == 0
    }

    /// Watches `file`, which was added and is still open, for something else; events that come from now on carry
    /// `token`. A file that is not watched stays so.
    public func change(_ file: Int32, _ interest: Interest, token: UInt64) {
        _ = exemplar_epoll_control(descriptor, EPOLL_CTL_MOD, file, interest.rawValue, token)
    }

    /// Watches `file` no more. To be called before it is closed: a duplicate of the descriptor, as a child process has,
    /// would go on being watched.
    public func remove(_ file: Int32) {
        _ = exemplar_epoll_control(descriptor, EPOLL_CTL_DEL, file, 0, 0)
    }

    /// Blocks until something is ready, a signal came or `timeout` is over; nil waits for ever.
    public func wait(timeout: Duration?) -> [Event] {
        // Rounded up, so that a timer is over when its time has come.
        let nanoseconds = timeout.map { max(0, Int64(min($0 / .nanoseconds(1), 1e15).rounded(.up))) } ?? -1
        var ready = InlineArray<64, UInt32>(repeating: 0)
        var tokens = InlineArray<64, UInt64>(repeating: 0)
        var readySpan = ready.mutableSpan
        var tokenSpan = tokens.mutableSpan
        let count = readySpan.withUnsafeMutableBufferPointer { ready in
            tokenSpan.withUnsafeMutableBufferPointer { tokens in
                exemplar_epoll_wait(
                    descriptor, ready.baseAddress, tokens.baseAddress, Int32(Self.capacity), nanoseconds)
            }
        }
        return (0..<max(0, Int(count))).map { Event(token: tokens[$0], ready: Interest(rawValue: ready[$0])) }
    }
}
