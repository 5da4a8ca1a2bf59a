import Glibc

/// A thread of the system's. Whoever starts one joins it or detaches it, once.
public struct JoinableThread: @unchecked Sendable {
    // Unchecked: a handle, which any thread may use.
    private let handle: pthread_t

    /// Runs `body` on a new thread; nil where the system has none.
    public init?(_ body: @escaping @Sendable () -> Void) {
        final class Body: Sendable {
            let run: @Sendable () -> Void
            init(_ run: @escaping @Sendable () -> Void) { self.run = run }
        }
        var handle = pthread_t()
        let context = Unmanaged.passRetained(Body(body))
        let status = pthread_create(
            &handle, nil,
            { context in
                if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            }, context.toOpaque())
        guard status == 0 else {
            context.release()
            errno = status
            return nil
        }
        self.handle = handle
    }

    /// Waits for the thread's end.
    public func join() { pthread_join(handle, nil) }

    /// Lets the thread end by itself.
    public func detach() { pthread_detach(handle) }
}

/// Runs `body` on a new thread that ends with it; false, with `errno` set, where the system has none.
public func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    guard let thread = JoinableThread(body) else { return false }
    thread.detach()
    return true
}
