import Glibc

/// Seconds of a clock that never goes back.
func secondsNow() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

extension [Double] {
    /// The middle value, or the mean of the two in the middle; 0 for none.
    var median: Double {
        guard !isEmpty else { return 0 }
        let sorted = sorted()
        return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
    }
}

/// How much of its cores' time this process gets.
struct ProcessorShare {
    private let cores: Int
    private let start = secondsNow()
    private let used = Self.usedSeconds()

    init(cores: Int) { self.cores = cores }

    /// 1 where nothing else ran on the cores; threads that wait for each other asleep lower it, too.
    var sinceStart: Double {
        (Self.usedSeconds() - used) / max((secondsNow() - start) * Double(cores), 1e-9)
    }

    private static func usedSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
