import CPlatform
import Glibc
import Platform

/// A descriptor that another thread makes readable: how workers wake the event loop.
final class WakeUp: Sendable {
    let descriptor: Int32

    init() throws(ServerError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard descriptor >= 0 else { throw ServerError(cannotMake("an eventfd")) }
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

/// Why an event loop cannot be made, and what helps.
func cannotMake(_ part: String) -> String {
    "Cannot make \(part): \(errorText()). Raise the limit on open files (ulimit -n), or give fewer --event-loops."
}
