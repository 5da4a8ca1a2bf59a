import CPlatform
import Glibc
import Synchronization

/// Where threads wait for one another, again and again.
///
/// Whoever waits spins, since what is waited for is often nearer than a thread's way to sleep and back, and then
/// blocks, on a semaphore: of a condition variable's threads, which are woken together, each waits for the lock of the
/// one before. Unchecked: `mutex` and `semaphores` are made for many threads.
final class Barrier: @unchecked Sendable {
    private let count: Int
    private let arrived = Atomic<Int>(0)
    private let phase = Atomic<Int>(0)
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    /// Threads that block until the phase is over. With `mutex`.
    private var blocked = 0
    /// Two, for even phases and for odd ones: who blocks in the next phase must not take what wakes another in this.
    /// The one after that begins when nobody is left in this.
    private let semaphores: UnsafeMutablePointer<sem_t>

    /// Looks at the phase before blocking, some tens of cycles apart.
    enum Patience: Int {
        /// Some microseconds: nobody knows when the others come.
        case idle = 200
        /// Some hundred microseconds: the others are on their way. A core that sleeps may take 80 µs to wake, so that
        /// whoever slept at one meeting would come late to the next, and the other sleep there, to the network's end.
        case working = 8000
    }

    private static let spinsPerYield = 64

    /// - Parameter count: the threads that meet.
    init(count: Int) {
        self.count = count
        mutex = .allocate(capacity: 1)
        semaphores = .allocate(capacity: 2)
        // With these arguments no call can fail on Linux.
        pthread_mutex_init(mutex, nil)
        for parity in 0..<2 { sem_init(semaphores + parity, 0, 0) }
    }

    deinit {
        for parity in 0..<2 { sem_destroy(semaphores + parity) }
        pthread_mutex_destroy(mutex)
        semaphores.deallocate()
        mutex.deallocate()
    }

    /// Returns once all have called it. What each wrote before is seen by all afterwards.
    func wait(_ patience: Patience) {
        let current = phase.load(ordering: .acquiring)
        guard arrived.add(1, ordering: .acquiringAndReleasing).newValue < count else {
            arrived.store(0, ordering: .relaxed)
            // Under the lock, so that nobody blocks between looking and being counted.
            pthread_mutex_lock(mutex)
            phase.store(current &+ 1, ordering: .releasing)
            let woken = blocked
            blocked = 0
            pthread_mutex_unlock(mutex)
            for _ in 0..<woken { sem_post(semaphores + (current & 1)) }
            return
        }
        for spin in 0..<patience.rawValue {
            guard phase.load(ordering: .acquiring) == current else { return }
            // Whom this thread waits for may be waiting for its core.
            if spin % Self.spinsPerYield == Self.spinsPerYield - 1 { sched_yield() } else { exemplar_pause() }
        }
        pthread_mutex_lock(mutex)
        let isOver = phase.load(ordering: .acquiring) != current
        if !isOver { blocked += 1 }
        pthread_mutex_unlock(mutex)
        if !isOver { while sem_wait(semaphores + (current & 1)) != 0 {} }
    }
}
