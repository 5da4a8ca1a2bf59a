#if JEMALLOC
    import CJemalloc
#endif

/// What the process's allocator holds, in bytes, by jemalloc's names.
public struct AllocatorStatistics: Sendable, Equatable {
    /// In live allocations.
    public var allocated: Int
    /// In pages that hold live allocations.
    public var active: Int
    /// Physically resident, the allocator's own data included.
    public var resident: Int
    /// Given back to the system but kept as address space.
    public var retained: Int

    /// The figures now; nil where the process runs on another allocator, as sanitizer builds do.
    public static func current() -> AllocatorStatistics? {
        #if JEMALLOC
            // jemalloc caches its statistics; advancing the epoch refreshes them.
            var epoch: UInt64 = 1
            guard mallctl("epoch", nil, nil, &epoch, MemoryLayout<UInt64>.size) == 0,
                let allocated: Int = control("stats.allocated"),
                let active: Int = control("stats.active"),
                let resident: Int = control("stats.resident"),
                let retained: Int = control("stats.retained")
            else { return nil }
            return AllocatorStatistics(
                allocated: allocated, active: active, resident: resident, retained: retained)
        #else
            return nil
        #endif
    }

    /// Bytes that the calling thread has ever allocated: the difference of two readings is what happened between
    /// them, exact to the byte. Nil where the process runs on another allocator.
    public static func bytesAllocatedByThread() -> UInt64? {
        #if JEMALLOC
            control("thread.allocated")
        #else
            nil
        #endif
    }

    #if JEMALLOC
        /// A static string, since turning any other into C's allocates, and the reading would count itself.
        private static func control<Value: BitwiseCopyable & FixedWidthInteger>(_ name: StaticString) -> Value? {
            var value: Value = 0
            var size = MemoryLayout<Value>.size
            return name.withUTF8Buffer { name in
                name.withMemoryRebound(to: CChar.self) { mallctl($0.baseAddress, &value, &size, nil, 0) }
            } == 0 ? value : nil
        }
    #endif
}
