import Glibc
import Synchronization

#if JEMALLOC
    import CJemalloc
#endif

/// Memory for numbers: an arena of jemalloc's own, apart from the process's other allocations, so that weights and
/// activations neither fragment the heap nor are fragmented by it, and can be counted by themselves.
///
/// Slabs are taken when a model is loaded, and for the passes over images of other sizes; never for patches.
public final class Arena: Sendable {
    private let index: UInt32

    /// Arenas that nobody uses. They are kept for the next: what jemalloc knows of an arena it never gives back, some
    /// megabytes of addresses and a tenth of memory, which every reload of models would leave behind.
    private static let idle = Mutex<[UInt32]>([])

    /// Not where addresses are limited: an arena keeps those of all that it ever held.
    private static let keepsArenas: Bool = {
        var limit = rlimit()
        return getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) != 0 || limit.rlim_cur == rlim_t.max
    }()

    /// Takes an arena that is empty.
    ///
    /// - Throws: `AllocationError` if jemalloc refuses, which it does when it cannot map memory.
    public init() throws(AllocationError) {
        #if JEMALLOC
            if let index = Self.idle.withLock({ $0.popLast() }) {
                self.index = index
                return
            }
            var index: UInt32 = 0
            var size = MemoryLayout<UInt32>.size
            guard mallctl("arenas.create", &index, &size, nil, 0) == 0 else {
                throw AllocationError(byteCount: 0)
            }
            self.index = index
        #else
            index = 0
        #endif
    }

    /// Memory for `count` floats, 64-byte aligned and followed by a readable tail of `Slab.tailCount` floats, so that
    /// kernels may read whole vectors. Pages that are never touched are never resident, huge ones among them.
    ///
    /// Large slabs are asked for in huge pages: hardware prefetching stops at the end of a page, and the planes of
    /// transformed tiles are more than the translation buffer has entries for. The same bits come without them, later.
    ///
    /// - Parameters:
    ///   - zeroed: whether the floats start as 0; otherwise they hold anything.
    ///   - isSparse: whether much of it will never be touched: pages stay small, so that it is never resident.
    /// - Throws: `AllocationError` when there is not so much memory.
    public func allocate(count: Int, zeroed: Bool, isSparse: Bool = false) throws(AllocationError) -> Slab {
        let (padded, isTooLong) = count.addingReportingOverflow(Slab.tailCount)
        let (total, overflow) = padded.multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
        guard count >= 0, !isTooLong, !overflow else { throw AllocationError(byteCount: Int.max) }
        #if JEMALLOC
            let isHuge = total >= Slab.hugePageSize && !isSparse
            let alignment = isHuge ? Slab.hugePageSize : Slab.alignment
            let memory = mallocx(total, exemplar_mallocx_flags(index, alignment, zeroed ? 1 : 0))
            // A kernel without huge pages, or told not to use them, refuses; that changes nothing.
            if isHuge, let memory { madvise(memory, total, MADV_HUGEPAGE) }
        #else
            var memory: UnsafeMutableRawPointer?
            guard posix_memalign(&memory, Slab.alignment, total) == 0 else {
                throw AllocationError(byteCount: total)
            }
            if zeroed, let memory { memset(memory, 0, total) }
        #endif
        guard let memory else { throw AllocationError(byteCount: total) }
        return Slab(arena: self, memory: memory, count: count)
    }

    fileprivate func deallocate(_ memory: UnsafeMutableRawPointer) {
        #if JEMALLOC
            dallocx(memory, exemplar_dallocx_flags(index))
        #else
            free(memory)
        #endif
    }

    deinit {
        #if JEMALLOC
            // Slabs keep their arena alive, so nothing is allocated here any more. Their pages go back at once.
            guard Self.keepsArenas else {
                mallctl("arena.\(index).destroy", nil, nil, nil, 0)
                return
            }
            mallctl("arena.\(index).purge", nil, nil, nil, 0)
            Self.idle.withLock { $0.append(index) }
        #endif
    }
}

/// A piece of an arena: `count` floats, given back when the last reference goes.
public final class Slab: @unchecked Sendable {
    // Unchecked: the memory itself is shared; who may write it when is the owner's rule (weights are written before
    // they are shared, activations belong to one embedder).

    /// Bytes; a cache line, and a whole vector of the widest instruction set.
    public static let alignment = 64
    /// Bytes of a huge page of x86-64, and of arm64 with pages of 4 KiB.
    static let hugePageSize = 2 << 20
    /// Floats that may be read past the end.
    public static let tailCount = 16

    public let base: UnsafeMutablePointer<Float>
    public let count: Int
    private let arena: Arena

    fileprivate init(arena: Arena, memory: UnsafeMutableRawPointer, count: Int) {
        self.arena = arena
        self.count = count
        base = memory.bindMemory(to: Float.self, capacity: count + Slab.tailCount)
    }

    /// Bytes, without the tail.
    public var byteCount: Int { count * MemoryLayout<Float>.stride }

    deinit { arena.deallocate(base) }
}

/// There is not enough memory, or the size asked for has no meaning.
public struct AllocationError: Error, Sendable, CustomStringConvertible {
    public let byteCount: Int

    init(byteCount: Int) { self.byteCount = byteCount }

    public var description: String {
        "Cannot allocate \(byteCount) bytes: give the process more memory or load fewer or smaller models."
    }
}
