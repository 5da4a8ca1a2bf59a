import CPlatform
import Glibc
import Platform

/// A part of a `MemorySource`, given back when the last reference goes.
public typealias MemoryShare = AnyObject & Sendable

/// Where the memory of models comes from. It is asked before anything is allocated, and the share is held for as long
/// as what was allocated.
public protocol MemorySource: Sendable {
    /// Takes `byteCount` bytes.
    ///
    /// - Parameters:
    ///   - subject: what takes the memory, in the plural, the beginning of the error's sentence.
    ///   - advice: what to do instead.
    /// - Returns: the share; nil where nobody counts.
    /// - Throws: `ModelError` where there is not so much.
    func take(_ byteCount: Int, for subject: String, advice: String) throws(ModelError) -> (any MemoryShare)?
}

/// Memory that whoever asks has taken already.
public struct TakenMemory: MemorySource {
    public init() {}

    public func take(_ byteCount: Int, for subject: String, advice: String) -> (any MemoryShare)? { nil }
}

/// How much memory this process may ever use: what is planned beyond it would end not in an error but in the kernel
/// killing the process.
public struct MemoryLimit: MemorySource, Equatable {
    public var byteCount: Int
    var source: Source
    /// What others in the process hold of it, or may yet take.
    public var taken = 0

    /// Who sets the limit, as in a sentence.
    enum Source: String, Sendable {
        case option = "--memory-limit"
        case controlGroup = "its control group"
        case addressSpace = "RLIMIT_AS"
        case physicalMemory = "this machine"
    }

    /// The least of the control group's limits, RLIMIT_AS, the physical memory and `chosen`. Read anew each time: the
    /// limits of a running container can change.
    public static func current(chosen: Int? = nil) -> MemoryLimit {
        let (pages, pageSize) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
        let (physical, overflows) = pages.multipliedReportingOverflow(by: pageSize)
        let isKnown = pages > 0 && pageSize > 0 && !overflows
        var limits = [MemoryLimit(byteCount: isKnown ? physical : Int.max, source: .physicalMemory)]
        var addressSpace = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &addressSpace) == 0,
            let byteCount = Int(exactly: addressSpace.rlim_cur)
        {
            limits.append(MemoryLimit(byteCount: byteCount, source: .addressSpace))
        }
        if let chosen { limits.append(MemoryLimit(byteCount: chosen, source: .option)) }
        limits += Self.limits(of: .current())
        return limits.min { $0.byteCount < $1.byteCount } ?? limits[0]
    }

    /// What the groups' files say now: the limit of every group from the process's own up to the root holds.
    static func limits(of groups: ControlGroups) -> [MemoryLimit] {
        let files =
            groups.unifiedFiles("memory.max") + groups.legacyFiles("memory.limit_in_bytes", of: "memory")
        return files.compactMap { kernelFile($0).flatMap(limit) }
            .map { MemoryLimit(byteCount: $0, source: .controlGroup) }
    }

    /// Only compares, as `check` does: what is taken of it is the caller's to know.
    public func take(_ byteCount: Int, for subject: String, advice: String) throws(ModelError) -> (any MemoryShare)? {
        try check(byteCount, for: subject, advice: advice)
        return nil
    }

    /// - Parameters:
    ///   - subject: what takes the memory, in the plural, the beginning of the error's sentence.
    ///   - advice: what to do instead.
    /// - Throws: `ModelError` naming all sizes, if `byteCount` bytes and what is taken are more than the limit.
    public func check(_ byteCount: Int, for subject: String, advice: String) throws(ModelError) {
        guard byteCount > self.byteCount - taken else { return }
        let others = taken > 0 ? "which with the \(Self.text(taken)) that are taken already is " : ""
        throw ModelError(
            "\(subject) take \(Self.text(byteCount)), \(others)more than the \(Self.text(self.byteCount)) of memory "
                + "that \(source.rawValue) gives this process: \(advice), or give it more memory.")
    }

    /// In whole mebibytes, rounded up, or bytes where that is less than one.
    public static func text(_ byteCount: Int) -> String {
        byteCount < 1 << 20 ? "\(byteCount) bytes" : "\((byteCount - 1) / (1 << 20) + 1) MiB"
    }

    /// Of `memory.max` or `memory.limit_in_bytes`; nil for no limit: `max`, or in version 1 a number near 2^63.
    static func limit(_ text: String) -> Int? {
        guard let word = text.split(whereSeparator: \.isWhitespace).first, let limit = Int(word), limit >= 0,
            limit < 1 << 62
        else { return nil }
        return limit
    }
}
