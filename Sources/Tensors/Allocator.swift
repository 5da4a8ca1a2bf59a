#if JEMALLOC
    import CJemalloc
#endif

/// What the process asks of its allocator.
public enum Allocator {
    /// Has pages that nothing uses any more given back to the system in time by a thread of jemalloc's own. Without it
    /// they go back only when something is allocated or freed: a server that is idle after a burst would keep its
    /// memory.
    ///
    /// One such thread, not one for each core: to give pages back is never urgent. Where the process runs on another
    /// allocator, or there is no thread to be had, nothing changes.
    public static func returnIdlePages() {
        #if JEMALLOC
            var count = 1
            var isOn = true
            mallctl("max_background_threads", nil, nil, &count, MemoryLayout<Int>.size)
            mallctl("background_thread", nil, nil, &isOn, MemoryLayout<Bool>.size)
        #endif
    }
}
