import Batching

/// A value that is read anew when it is older than so long.
final class Cached<Value: Sendable>: Sendable {
    private let age: Duration
    private let read: @Sendable () -> Value
    private let last = Monitor<(value: Value, time: ContinuousClock.Instant)?>(nil)

    init(for age: Duration, _ read: @escaping @Sendable () -> Value) {
        self.age = age
        self.read = read
    }

    func value(at now: ContinuousClock.Instant = .now) -> Value {
        last.withLock { last in
            if let last, last.time.duration(to: now) < age { return last.value }
            let value = read()
            last = (value, now)
            return value
        }
    }
}
