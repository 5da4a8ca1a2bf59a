import CPlatform
import Glibc
import Platform

/// What the kernel knows of this process, under the names that every Prometheus client gives it.
struct ProcessFigures: Sendable, Equatable {
    var residentBytes: Double
    var virtualBytes: Double
    /// User and system time, all threads together.
    var cpuSeconds: Double
    var threads: Double
    /// Since 1970.
    var startTime: Double
    /// Nil where /proc does not tell.
    var openDescriptors: Int?
    var maxDescriptors: Int?

    /// The figures now; nil without a readable /proc.
    static func current() -> ProcessFigures? {
        guard let stat = kernelFile("/proc/self/stat"),
            let bootTime = Self.bootTime(kernelFile("/proc/stat", limit: 1 << 20) ?? ""),
            var figures = ProcessFigures(
                stat: stat, bootTime: bootTime, ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))),
                pageSize: Double(sysconf(Int32(_SC_PAGESIZE))))
        else { return nil }
        figures.openDescriptors = countDescriptors()
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            figures.maxDescriptors = Int(clamping: limit.rlim_cur)
        }
        return figures
    }

    /// Reads `/proc/self/stat` (proc(5)). Its second field, the program's name, stands in parentheses and may hold
    /// anything, so that counting starts after the last of them.
    init?(stat: String, bootTime: Double, ticksPerSecond: Double, pageSize: Double) {
        guard let end = stat.lastIndex(of: ")"), ticksPerSecond > 0 else { return nil }
        // The first of these is field 3.
        let fields = stat[stat.index(after: end)...].split(whereSeparator: \.isWhitespace)
        func field(_ number: Int) -> Double? { number - 3 < fields.count ? Double(fields[number - 3]) : nil }
        guard let user = field(14), let system = field(15), let threads = field(20), let start = field(22),
            let size = field(23), let pages = field(24)
        else { return nil }
        cpuSeconds = (user + system) / ticksPerSecond
        self.threads = threads
        startTime = bootTime + start / ticksPerSecond
        virtualBytes = size
        residentBytes = pages * pageSize
    }

    /// When the system was started, in seconds since 1970: the line `btime` of `/proc/stat`.
    static func bootTime(_ text: String) -> Double? {
        let line = text.split(separator: "\n").first { $0.hasPrefix("btime ") }
        return line.flatMap { Double($0.dropFirst(6)) }
    }

    private static func countDescriptors() -> Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        // Without the one that is read.
        return count - 1
    }
}
