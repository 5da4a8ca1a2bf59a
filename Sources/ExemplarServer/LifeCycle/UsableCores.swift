import CPlatform
import Glibc
import Platform

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
            affinity: affinity > 0 ? affinity : max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))),
            quota: quota(of: .current()))
    }

    /// What the groups' files say now.
    static func quota(of groups: ControlGroups) -> Double? {
        // The quota of every group from the process's own up to the root holds.
        var quotas = groups.unifiedFiles("cpu.max").compactMap { kernelFile($0).flatMap(unifiedQuota) }
        let legacy = zip(
            groups.legacyFiles("cpu.cfs_quota_us", of: "cpu"), groups.legacyFiles("cpu.cfs_period_us", of: "cpu"))
        for (quota, period) in legacy {
            if let quota = kernelFile(quota), let period = kernelFile(period),
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
}
