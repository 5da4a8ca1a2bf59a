#if JEMALLOC
    import CJemalloc
#endif

/// What the process's allocator holds, in bytes, by jemalloc's names.
public struct AllocatorStatistics: Sendable, Equatable {
    /// In live allocations.
    public var allocated: Int
    /// In pages that hold live allocations.
    public var active: Int
    /// In the allocator's own data. Its tables of addresses count whole, though hardly any of their pages is touched.
    public var metadata: Int
    /// In pages that may be resident: those of live allocations, those that were freed and not yet given back, and the
    /// allocator's own data.
    public var resident: Int
    /// Address space in use, that of the allocator's own data included.
    public var mapped: Int
    /// Given back to the system but kept as address space.
    public var retained: Int
    /// Bytes and number of all allocations since the start, freed or not, by their size classes. A thread's last ones
    /// are missing until its cache is next tidied.
    public var totalBytes: Int
    public var totalCount: Int

    /// The figures now; nil where the process runs on another allocator, as sanitizer builds do.
    public static func current() -> AllocatorStatistics? {
        #if JEMALLOC
            // jemalloc caches its statistics; advancing the epoch refreshes them.
            var epoch: UInt64 = 1
            guard mallctl("epoch", nil, nil, &epoch, MemoryLayout<UInt64>.size) == 0,
                let allocated: Int = control("stats.allocated"),
                let active: Int = control("stats.active"),
                let metadata: Int = control("stats.metadata"),
                let resident: Int = control("stats.resident"),
                let mapped: Int = control("stats.mapped"),
                let retained: Int = control("stats.retained")
            else { return nil }
            let small = total(of: "stats.arenas.4096.bins.0.nrequests", "arenas.bin.0.size", classes: "arenas.nbins")
            let large = total(
                of: "stats.arenas.4096.lextents.0.nrequests", "arenas.lextent.0.size", classes: "arenas.nlextents")
            return AllocatorStatistics(
                allocated: allocated, active: active, metadata: metadata, resident: resident, mapped: mapped,
                retained: retained, totalBytes: small.bytes + large.bytes, totalCount: small.count + large.count)
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
        /// Over size classes: their number is in the second last place of the first name, the arena 4096 stands for
        /// all.
        private static func total(
            of requests: String, _ size: String, classes: StaticString
        ) -> (bytes: Int, count: Int) {
            guard var requestsPath = Path(requests), var sizePath = Path(size), let classes: UInt32 = control(classes)
            else { return (0, 0) }
            var total = (bytes: 0, count: 0)
            for index in 0..<Int(classes) {
                guard let count = requestsPath.value(at: index), let size = sizePath.value(at: index) else { continue }
                total.count += count
                total.bytes += count * size
            }
            return total
        }

        /// A name that was looked up once, to be asked for many indices.
        private struct Path {
            private var parts = [Int](repeating: 0, count: 8)
            private var length = 8

            init?(_ name: String) {
                guard mallctlnametomib(name, &parts, &length) == 0, length >= 2 else { return nil }
            }

            /// The value where the last but one part of the name is `index`.
            mutating func value(at index: Int) -> Int? {
                parts[length - 2] = index
                var value: UInt64 = 0
                var size = MemoryLayout<UInt64>.size
                return mallctlbymib(&parts, length, &value, &size, nil, 0) == 0 ? Int(clamping: value) : nil
            }
        }

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
