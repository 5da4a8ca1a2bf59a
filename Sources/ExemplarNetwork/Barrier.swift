import CPlatform
import Glibc
import Synchronization

/// Where threads wait for one another, again and again.
///
/// Whoever waits spins, since what is waited for is often nearer than a thread's way to sleep and back, and then
/// blocks. Unchecked: `mutex` and `condition` are made for many threads.
final class Barrier: @unchecked Sendable {
    private let count: Int
    private let arrived = Atomic<Int>(0)
    private let phase = Atomic<Int>(0)
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

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
        condition = .allocate(capacity: 1)
        // With default attributes neither call can fail on Linux.
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Returns once all have called it. What each wrote before is seen by all afterwards.
    func wait(_ patience: Patience) {
        let current = phase.load(ordering: .acquiring)
        guard arrived.add(1, ordering: .acquiringAndReleasing).newValue < count else {
            arrived.store(0, ordering: .relaxed)
            // Under the lock, so that nobody goes to sleep between looking and sleeping.
            pthread_mutex_lock(mutex)
            phase.store(current &+ 1, ordering: .releasing)
            pthread_mutex_unlock(mutex)
            pthread_cond_broadcast(condition)
            return
        }
        for spin in 0..<patience.rawValue {
            guard phase.load(ordering: .acquiring) == current else { return }
            // Whom this thread waits for may be waiting for its core.
            if spin % Self.spinsPerYield == Self.spinsPerYield - 1 { sched_yield() } else { exemplar_pause() }
        }
        pthread_mutex_lock(mutex)
        while phase.load(ordering: .acquiring) == current { pthread_cond_wait(condition, mutex) }
        pthread_mutex_unlock(mutex)
    }
}
