import Platform

/// How often the control group's CPU quota has held this process up: time that looks like computing and is waiting.
struct ControlGroupUsage: Sendable, Equatable {
    /// Enforcement periods in which the group wanted to run.
    var periods: UInt64
    /// Those in which it used its quota up before their end.
    var throttledPeriods: UInt64
    /// How long its threads waited for the next period, all together.
    var throttledSeconds: Double

    /// Of the innermost group that has a `cpu.stat` with these figures; nil where there is no such group.
    static func current() -> ControlGroupUsage? {
        let groups = ControlGroups.current()
        for path in groups.unifiedFiles("cpu.stat") + groups.legacyFiles("cpu.stat", of: "cpu") {
            if let text = kernelFile(path), let usage = ControlGroupUsage(text) { return usage }
        }
        return nil
    }

    /// Reads `cpu.stat`: version 2 counts `throttled_usec` in microseconds, version 1 `throttled_time` in nanoseconds.
    init?(_ text: String) {
        var fields: [Substring: UInt64] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ")
            if parts.count == 2, let value = UInt64(parts[1]) { fields[parts[0]] = value }
        }
        guard let periods = fields["nr_periods"], let throttled = fields["nr_throttled"] else { return nil }
        if let microseconds = fields["throttled_usec"] {
            throttledSeconds = Double(microseconds) / 1e6
        } else if let nanoseconds = fields["throttled_time"] {
            throttledSeconds = Double(nanoseconds) / 1e9
        } else {
            return nil
        }
        self.periods = periods
        throttledPeriods = throttled
    }
}
