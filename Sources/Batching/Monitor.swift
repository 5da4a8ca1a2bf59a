internal import CPlatform
import Glibc

/// State behind a lock, and threads that wait for its change (Hoare 1974, "Monitors").
///
/// On pthreads and POSIX semaphores, which the thread sanitizer understands. Each thread that waits has a semaphore of
/// its own, in place of a condition variable for all: glibc's `pthread_cond_signal` may block until a thread that was
/// woken before has left, and the event loop would sleep for as long as a core takes to wake. Who came last is woken
/// first: its core is the least likely to sleep deeply.
public final class Monitor<State>: @unchecked Sendable {
    // Unchecked: `state`, `waiting` and `wokenCount` are only touched with `mutex` held.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var state: State
    /// The thread that came last, and through it the others.
    private var waiting: UnsafeMutablePointer<Waiter>?
    /// Threads that were woken and have not looked at the state yet.
    private var wokenCount = 0

    /// One thread in `wait`, in its own stack's memory.
    private struct Waiter {
        var semaphore = sem_t()
        var next: UnsafeMutablePointer<Waiter>?
    }

    public init(_ state: sending State) {
        mutex = .allocate(capacity: 1)
        // With these arguments it cannot fail on Linux.
        pthread_mutex_init(mutex, nil)
        self.state = state
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Pauses, some tens of cycles each, that a thread spends looking for the lock before it sleeps: about as long as
    /// it takes to fall asleep and be woken.
    private static var patience: Int { 3000 }

    /// What the lock is held for takes a microsecond or two. If who finds it taken fell asleep at once, on many cores
    /// all of them soon would, each waking the next: at a wake-up a turn, in which nobody holds the lock for fifty
    /// microseconds. So it looks again for a while, more and more seldom.
    private func lock() {
        var pauses = 1
        var spent = 0
        while pthread_mutex_trylock(mutex) != 0 {
            guard spent < Self.patience else {
                pthread_mutex_lock(mutex)
                return
            }
            for _ in 0..<pauses { exemplar_pause() }
            spent += pauses
            // Who has the lock may be waiting for this core.
            if pauses < 64 { pauses *= 2 } else { sched_yield() }
        }
    }

    private func unlock() { pthread_mutex_unlock(mutex) }

    /// Runs `body` alone with the state.
    public func withLock<Result, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        lock()
        defer { unlock() }
        return try body(&state)
    }

    /// Runs `body` alone with the state, and sees to it that as many of the threads in `wait` as it says look at it, if
    /// there are so many: those that were woken before and are on their way count.
    public func withLockWaking<Result>(_ body: (inout State) -> (Result, waking: Int)) -> Result {
        lock()
        let (result, count) = body(&state)
        let woken = takeWaiting(count - wokenCount)
        unlock()
        Self.wake(woken)
        return result
    }

    /// Runs `body` alone with the state until it returns a value, blocking between two runs until woken.
    public func wait<Result>(for body: (inout State) -> Result?) -> Result {
        waitWaking { state in body(&state).map { ($0, waking: 0) } }
    }

    /// As `wait(for:)`; then sees to it that as many of the others in `wait` as `body` says look at the state.
    public func waitWaking<Result>(_ body: (inout State) -> (Result, waking: Int)?) -> Result {
        withUnsafeTemporaryAllocation(of: Waiter.self, capacity: 1) { memory in
            // Of one element, so that it is there.
            let waiter = memory.baseAddress.unsafelyUnwrapped
            waiter.initialize(to: Waiter())
            let semaphore = waiter.pointer(to: \.semaphore).unsafelyUnwrapped
            // With these arguments it cannot fail.
            sem_init(semaphore, 0, 0)
            defer { sem_destroy(semaphore) }
            lock()
            while true {
                if let (result, count) = body(&state) {
                    let woken = takeWaiting(count - wokenCount)
                    unlock()
                    Self.wake(woken)
                    return result
                }
                waiter.pointee.next = waiting
                waiting = waiter
                unlock()
                // Whoever posts has taken it out of the list before.
                while sem_wait(semaphore) != 0 {}
                lock()
                wokenCount -= 1
            }
        }
    }

    /// Wakes every thread in `wait`.
    public func notifyAll() {
        lock()
        let woken = takeWaiting(.max)
        unlock()
        Self.wake(woken)
    }

    /// Takes the last `count` threads out of the list. With the lock.
    private func takeWaiting(_ count: Int) -> UnsafeMutablePointer<Waiter>? {
        guard count > 0, let first = waiting else { return nil }
        var last = first
        var taken = 1
        while taken < count, let next = last.pointee.next {
            last = next
            taken += 1
        }
        waiting = last.pointee.next
        last.pointee.next = nil
        wokenCount += taken
        return first
    }

    /// Wakes threads that are in the list no more. Without the lock: each would sleep for it again.
    private static func wake(_ woken: UnsafeMutablePointer<Waiter>?) {
        var next = woken
        while let waiter = next {
            // A thread that is woken takes its memory with it.
            next = waiter.pointee.next
            if let semaphore = waiter.pointer(to: \.semaphore) { sem_post(semaphore) }
        }
    }
}
