import CPlatform
import Glibc

/// How many threads can compute at the same time: what the affinity mask allows, and what the control group's quota
/// pays for. A server that counts the host's cores instead collapses under a quota.
public struct UsableCores: Sendable, Equatable {
    /// CPUs that this process may run on.
    var affinity: Int
    /// CPUs' worth of time that the control group grants; nil without a quota.
    var quota: Double?

    /// At least 1. A quota of one and a half cores is one thread: two would be throttled in turns.
    public var count: Int {
        guard let quota else { return max(1, affinity) }
        return max(1, Int(min(Double(affinity), max(quota, 1))))
    }

    /// Of this process, now.
    public static func current() -> UsableCores {
        let affinity = Int(exemplar_affinity_count())
        return UsableCores(
            affinity: affinity > 0 ? affinity : max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))), quota: currentQuota())
    }

    private static func currentQuota() -> Double? {
        let groups = contents(of: "/proc/self/cgroup") ?? ""
        var quotas: [Double] = []
        // Version 2: the quota of every group from the process's own up to the root holds.
        for path in unifiedPaths(groups) {
            if let text = contents(of: "/sys/fs/cgroup\(path)/cpu.max"), let quota = unifiedQuota(text) {
                quotas.append(quota)
            }
        }
        // Version 1. Inside a container its own group is mounted as the root.
        for path in [legacyPath(groups) ?? "", ""] {
            if let quota = contents(of: "/sys/fs/cgroup/cpu\(path)/cpu.cfs_quota_us"),
                let period = contents(of: "/sys/fs/cgroup/cpu\(path)/cpu.cfs_period_us"),
                let cores = legacyQuota(quota: quota, period: period)
            {
                quotas.append(cores)
            }
        }
        return quotas.min()
    }

    /// Of `cpu.max`: `200000 100000` is two cores, `max 100000` no quota.
    static func unifiedQuota(_ text: String) -> Double? {
        let parts = text.split(whereSeparator: \.isWhitespace)
        guard parts.count == 2, let quota = Double(parts[0]), let period = Double(parts[1]), quota > 0, period > 0
        else {
            return nil
        }
        return quota / period
    }

    /// Of `cpu.cfs_quota_us`, where −1 is no quota, and `cpu.cfs_period_us`.
    static func legacyQuota(quota: String, period: String) -> Double? {
        func number(_ text: String) -> Double? {
            text.split(whereSeparator: \.isWhitespace).first.flatMap { Double($0) }
        }
        guard let quota = number(quota), let period = number(period), quota > 0, period > 0 else { return nil }
        return quota / period
    }

    /// The groups of `/proc/self/cgroup`'s line `0::/a/b`, innermost first: `/a/b`, `/a`, and the root, "".
    static func unifiedPaths(_ text: String) -> [String] {
        for line in text.split(separator: "\n") where line.hasPrefix("0::/") {
            var names = line.dropFirst(4).split(separator: "/")
            var paths: [String] = []
            while !names.isEmpty {
                paths.append("/" + names.joined(separator: "/"))
                names.removeLast()
            }
            return paths + [""]
        }
        return []
    }

    /// The group of the controller `cpu` in version 1: of a line such as `4:cpu,cpuacct:/a`.
    static func legacyPath(_ text: String) -> String? {
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3, fields[1].split(separator: ",").contains("cpu") else { continue }
            return fields[2] == "/" ? "" : String(fields[2])
        }
        return nil
    }

    /// A small file of the kernel's, at most its first `limit` bytes; nil where there is none.
    static func contents(of path: String, limit: Int = 4096) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            // The kernel hands long ones out in parts.
            while count < limit {
                let part = read(file, buffer.baseAddress.map { $0 + count }, limit - count)
                guard part > 0 else { break }
                count += part
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
