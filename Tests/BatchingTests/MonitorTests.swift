import Batching
import Glibc
import Platform
import Testing

/// Real threads; what is waited for is a state, never a time.
@Suite struct MonitorTests {
    /// Tokens are handed over one at a time to threads that sleep: each is taken once, and none is left lying, although
    /// a thread that is on its way counts as woken.
    @Test func everyTokenFindsAThread() {
        struct State {
            var tokens = 0
            var taken = 0
            var isOver = false
            var ended = 0
        }
        let (threads, rounds) = (4, 5000)
        let monitor = Monitor(State())
        let observer = Monitor((taken: 0, ended: 0))
        for _ in 0..<threads {
            let isStarted = startThread {
                while true {
                    let took: Bool = monitor.waitWaking { state in
                        if state.tokens > 0 {
                            state.tokens -= 1
                            state.taken += 1
                            return (true, waking: state.tokens)
                        }
                        return state.isOver ? (false, waking: 0) : nil
                    }
                    observer.withLock { if took { $0.taken += 1 } else { $0.ended += 1 } }
                    observer.notifyAll()
                    if !took { return }
                }
            }
            #expect(isStarted)
        }
        var sent = 0
        for round in 0..<rounds {
            // One, or more than there are threads.
            let count = round % 7 == 0 ? threads + 2 : 1
            sent += count
            monitor.withLockWaking { state in
                state.tokens += count
                return ((), waking: state.tokens)
            }
            // Now and then all of them sleep again before the next.
            if round % 3 == 0 { observer.wait { $0.taken == sent ? () : nil } }
        }
        observer.wait { $0.taken == sent ? () : nil }
        monitor.withLock { #expect($0.tokens == 0 && $0.taken == sent) }
        monitor.withLock { $0.isOver = true }
        monitor.notifyAll()
        observer.wait { $0.ended == threads ? () : nil }
    }

    /// As many threads as were asked for look at the state, and no others; those on their way count.
    @Test func itWakesAsManyAsAreAskedFor() {
        struct State {
            var looks = 0
            var isOver = false
        }
        let threads = 5
        let monitor = Monitor(State())
        let ended = Monitor(0)
        for _ in 0..<threads {
            let isStarted = startThread {
                monitor.wait { state in
                    state.looks += 1
                    return state.isOver ? () : nil
                }
                ended.withLock { $0 += 1 }
                ended.notifyAll()
            }
            #expect(isStarted)
        }
        func looks() -> Int { monitor.withLock { $0.looks } }
        // Each looks once and goes to sleep.
        while looks() < threads { sched_yield() }
        // In one hold of the lock nobody that is woken can look in between.
        let before = looks()
        monitor.withLockWaking { _ in ((), waking: 2) }
        while looks() < before + 2 { sched_yield() }
        for _ in 0..<1000 { sched_yield() }
        #expect(looks() == before + 2)
        monitor.withLock { $0.isOver = true }
        monitor.notifyAll()
        ended.wait { $0 == threads ? () : nil }
    }
}
