import Batching
import Platform

/// `body` of 0 ..< `count`, on `threads` threads, in the order of the numbers: how many threads there are, and which
/// does what, changes nothing.
///
/// - Parameters:
///   - unit: what is counted, for a progress bar where it takes long.
///   - state: what each thread has of its own, made by itself.
/// - Throws: what `state` throws.
func parallelMap<State, Result: Sendable>(
    _ count: Int, threads: Int, unit: String,
    state: @escaping @Sendable () throws(CommandError) -> State,
    _ body: @escaping @Sendable (Int, inout State) -> Result
) throws(CommandError) -> [Result] {
    let work = SharedWork<Result>(count: count, unit: unit)
    onThreads(min(threads, count)) {
        do throws(CommandError) {
            var state = try state()
            while let index = work.take() { work.finish(index, with: body(index, &state)) }
        } catch {
            work.fail(error)
        }
    }
    return try work.results()
}

/// What the threads of a `parallelMap` share.
private final class SharedWork<Result: Sendable>: Sendable {
    private struct State {
        var next = 0
        var done = 0
        var results: [Result?]
        var bar: ProgressBar
        var failure: CommandError?
    }

    private let count: Int
    private let state: Monitor<State>

    init(count: Int, unit: String) {
        self.count = count
        state = Monitor(State(results: Array(repeating: nil, count: count), bar: ProgressBar(total: count, unit: unit)))
    }

    /// The next number; nil where there is none left, or no point in it.
    func take() -> Int? {
        state.withLock { state in
            guard state.next < count, state.failure == nil else { return nil }
            state.next += 1
            return state.next - 1
        }
    }

    func finish(_ index: Int, with result: Result) {
        state.withLock { state in
            state.results[index] = result
            state.done += 1
            state.bar.advance(to: state.done)
        }
    }

    func fail(_ error: CommandError) {
        state.withLock { $0.failure = error }
    }

    func results() throws(CommandError) -> [Result] {
        let (results, failure) = state.withLock { state in
            state.bar.clear()
            return (state.results.compactMap { $0 }, state.failure)
        }
        if let failure { throw failure }
        return results
    }
}

/// Runs `body` on so many threads, this one among them, and waits for all. Where the system refuses a thread the others
/// have more to do.
private func onThreads(_ count: Int, _ body: @escaping @Sendable () -> Void) {
    let threads = (1..<max(count, 1)).compactMap { _ in JoinableThread(body) }
    body()
    for thread in threads { thread.join() }
}
