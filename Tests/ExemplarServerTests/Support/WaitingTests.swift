import Batching
import Platform
import Testing

/// A suite whose tests wait for a server most of the time. Swift runs as many tests at once as there are cores, and one
/// that waits leaves its core to nobody: these have threads of their own, which are more.
///
/// Not for a suite that has a limit of time: it counts while a test waits for its thread.
struct WaitingTests: SuiteTrait, TestTrait, TestScoping {
    let isRecursive = true

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(TestThreads.shared) { try await function() }
    }
}

extension Trait where Self == WaitingTests {
    static var waiting: Self { WaitingTests() }
}

/// Threads that run tests, one after the other as they come.
private final class TestThreads: TaskExecutor {
    /// With the cores' own so many that some always have work, and so few that none has long to wait for a core.
    static let shared = TestThreads(count: 4)

    private let jobs = Monitor<[UnownedJob]>([])

    private init(count: Int) {
        for _ in 0..<count { precondition(startThread { self.run() }, "no thread for tests") }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLockWaking { jobs in
            jobs.append(job)
            return ((), waking: 1)
        }
    }

    private func run() {
        while true {
            let job = jobs.wait { jobs in jobs.isEmpty ? nil : jobs.removeFirst() }
            job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }
}
