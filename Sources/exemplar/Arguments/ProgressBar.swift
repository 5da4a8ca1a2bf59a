import Glibc

/// How far a long piece of work is, on one line of standard error, where that is a terminal. Short work has no bar.
struct ProgressBar {
    private var line: ProgressLine
    private let start = ContinuousClock.now
    private let isShown = isatty(STDERR_FILENO) == 1

    init(total: Int, unit: String) {
        line = ProgressLine(total: total, unit: unit)
    }

    /// Says that `done` of the total are finished.
    mutating func advance(to done: Int) {
        guard isShown, let text = line.text(done: done, after: start.duration(to: .now)) else { return }
        writeError("\r" + text, terminator: "")
    }

    /// Takes the line away again, if there is one, so that what comes next stands alone.
    mutating func clear() {
        if isShown, line.isDrawn { writeError("\r\u{1B}[K", terminator: "") }
    }
}

/// What a progress bar shows, and when: time is a parameter.
struct ProgressLine {
    /// Whether any text has been asked for.
    private(set) var isDrawn = false
    private let total: Int
    private let unit: String
    private var lastDrawn = Duration.zero

    /// Work that is over within this time gets no bar.
    static let patience = Duration.seconds(1)
    /// And no bar is drawn more often than this.
    static let interval = Duration.milliseconds(100)
    private static let width = 30

    init(total: Int, unit: String) {
        self.total = total
        self.unit = unit
    }

    /// The line for `done` of the total after `elapsed`, or nil where it is too early to draw anything (again).
    mutating func text(done: Int, after elapsed: Duration) -> String? {
        guard total > 0, elapsed >= Self.patience, !isDrawn || elapsed - lastDrawn >= Self.interval else { return nil }
        isDrawn = true
        lastDrawn = elapsed
        let done = min(max(done, 0), total)
        let filled = done * Self.width / total
        let left = done == 0 ? 0 : (elapsed / done * (total - done)).components.seconds
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: Self.width - filled)
        return "[\(bar)] \(done) of \(total) \(unit), about \(left) s left  "
    }
}
