import CAffinity
import Glibc
import Platform
import Synchronization

/// Threads that do one piece of work together, each on a core of its own; the calling thread is the first of them.
///
/// Members wait for the next piece by spinning for a moment, then asleep: between passes nobody pays for a wake-up, and
/// between commands nobody burns a core.
final class Team: @unchecked Sendable {
    let count: Int
    private let cores: [Int]
    private let work: @Sendable (_ member: Int) -> Void
    /// Pieces begun; negative once the team is dismissed.
    private let begun = Atomic<Int>(0)
    private let finished = Atomic<Int>(0)
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var threads: [JoinableThread] = []

    /// About 50 µs.
    private static let spins = 1 << 15

    /// - Throws: `CommandError` if a thread cannot be started or bound.
    init(cores: [Int], work: @escaping @Sendable (_ member: Int) -> Void) throws(CommandError) {
        count = cores.count
        self.cores = cores
        self.work = work
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        guard let first = cores.first else { throw CommandError("\"cores\" names no core") }
        guard bench_bind_to_core(Int32(clamping: first)) == 0 else {
            throw CommandError("This process may not run on core \(first)")
        }
        for member in 1..<max(count, 1) {
            let start = Start(team: self, member: member)
            guard let thread = JoinableThread({ start.run() }) else {
                throw CommandError("A thread cannot be started: \(errorText())")
            }
            threads.append(thread)
        }
    }

    /// Starts threads, each on the next of these cores, for a crew of the library's.
    static func starter(cores: ArraySlice<Int>) -> (@escaping @Sendable () -> Void) -> Bool {
        var rest = cores
        return { body in
            let core = Int32(clamping: rest.popFirst() ?? 0)
            return startThread {
                _ = bench_bind_to_core(core)
                body()
            }
        }
    }

    /// Every member does its part once.
    func run() {
        finished.store(0, ordering: .relaxed)
        if count > 1 {
            pthread_mutex_lock(mutex)
            begun.add(1, ordering: .releasing)
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        work(0)
        while finished.load(ordering: .acquiring) < count - 1 {}
    }

    /// Ends the threads; the team does no more work.
    func dismiss() {
        pthread_mutex_lock(mutex)
        begun.store(-1, ordering: .releasing)
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
        for thread in threads { thread.join() }
        threads = []
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// What a new thread is told.
    private final class Start: Sendable {
        let team: Team
        let member: Int

        init(team: Team, member: Int) {
            self.team = team
            self.member = member
        }

        func run() {
            _ = bench_bind_to_core(Int32(clamping: team.cores[member]))
            var done = 0
            while true {
                let next = team.waitForWork(after: done)
                guard next > 0 else { return }
                done = next
                team.work(member)
                team.finished.add(1, ordering: .releasing)
            }
        }
    }

    private func waitForWork(after done: Int) -> Int {
        for _ in 0..<Self.spins {
            let value = begun.load(ordering: .acquiring)
            if value != done { return value }
        }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while begun.load(ordering: .acquiring) == done { pthread_cond_wait(condition, mutex) }
        return begun.load(ordering: .acquiring)
    }
}
