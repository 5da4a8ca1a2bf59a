import Tensors
import Testing

@Suite struct ArenaTests {
    @Test func slabsAreAlignedZeroedAndReadablePastTheirEnd() throws {
        let arena = try Arena()
        for count in [0, 1, 15, 16, 17, 100_003] {
            let slab = try arena.allocate(count: count, zeroed: true)
            #expect(Int(bitPattern: slab.base) % Slab.alignment == 0)
            #expect((0..<count + Slab.tailCount).allSatisfy { slab.base[$0] == 0 })
        }
    }

    /// An arena gives the memory of the last slab to the next: a small one, one of pages of its own, one of huge pages.
    @Test(arguments: [1000, 100_003, 600_000])
    func whatWasWrittenBeforeIsZeroed(count: Int) throws {
        let arena = try Arena()
        do {
            let slab = try arena.allocate(count: count, zeroed: false)
            slab.base.update(repeating: .nan, count: count + Slab.tailCount)
        }
        let slab = try arena.allocate(count: count, zeroed: true)
        #expect((0..<count + Slab.tailCount).allSatisfy { slab.base[$0] == 0 })
    }

    @Test func sizesThatCannotBeAreErrors() throws {
        let arena = try Arena()
        #expect(throws: AllocationError.self) { try arena.allocate(count: -1, zeroed: false) }
        #expect(throws: AllocationError.self) { try arena.allocate(count: Int.max - 100, zeroed: false) }
        #expect(throws: AllocationError.self) { try arena.allocate(count: 1 << 55, zeroed: false) }
    }

    @Test func slabsOutliveTheReferenceToTheirArena() throws {
        let slab = try Arena().allocate(count: 1000, zeroed: true)
        slab.base[999] = 1
        #expect(slab.base[999] == 1)
    }

    @Test func theAllocatorCountsWhatAThreadAllocates() throws {
        guard let before = AllocatorStatistics.bytesAllocatedByThread() else { return }  // Sanitizer builds.
        let totalBefore = try #require(AllocatorStatistics.current())
        let array = [UInt8](repeating: 1, count: 1 << 20)
        let after = try #require(AllocatorStatistics.bytesAllocatedByThread())
        #expect(after - before >= 1 << 20)
        #expect(array.count == 1 << 20)
        let total = try #require(AllocatorStatistics.current())
        #expect(total.allocated > 0)
        // Other threads allocate, too; what was freed stays counted.
        #expect(total.totalBytes - totalBefore.totalBytes >= 1 << 20)
        #expect(total.totalCount > totalBefore.totalCount)
    }
}
