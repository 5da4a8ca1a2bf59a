import Tensors

/// Where an embedder's maps and scratch lie in its slab: regions for the maps of a group of images, one for each member
/// of a crew that computes whole images, then the maps of the whole batch, the members' scratch, and what pooled
/// outputs pass through.
struct EmbedderMemory: Sendable {
    private let region: MemoryPlan
    private let rest: MemoryPlan
    /// Members that can compute whole images at the same time.
    let regions: Int
    /// Of the slab, in floats.
    let count: Int

    /// - Parameters:
    ///   - region: the maps of a group, in the order of the steps.
    ///   - rest: the maps of the whole batch, then the scratch and what pooled outputs pass through.
    /// - Returns: nil if the sizes overflow.
    init?(region: MemoryPlan, regions: Int, rest: MemoryPlan) {
        let (maps, overflowsMaps) = region.count.multipliedReportingOverflow(by: regions)
        let (count, overflows) = maps.addingReportingOverflow(rest.count)
        guard !overflowsMaps, !overflows else { return nil }
        self.region = region
        self.rest = rest
        self.regions = regions
        self.count = count
    }

    /// Floats from the slab's start to a buffer, which lies in `region` if it is one of a group's.
    func offset(ofBuffer buffer: Int, region index: Int) -> Int {
        let grouped = region.offsets.count
        return buffer < grouped
            ? index * region.count + region.offsets[buffer] : regions * region.count + rest.offsets[buffer - grouped]
    }

    /// Where the members' scratch begins.
    var scratch: Int { regions * region.count + rest.offsets[rest.offsets.count - 2] }

    /// Where what pooled outputs pass through begins.
    var pooled: Int { regions * region.count + rest.offsets[rest.offsets.count - 1] }
}
