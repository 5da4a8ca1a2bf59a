import Glibc
import KernelInterface
import ProbesPortable

#if arch(x86_64)
    import ProbesAVX2
    import ProbesAVX512
#endif

/// What the machine can do at best, on the cores given: the measure of everything else.
enum Probes {
    /// GFLOP/s of all cores together.
    static func multiplyAdd(
        _ instructionSet: InstructionSet, cores: [Int], seconds: Double
    ) throws(CommandError) -> Double {
        // About 0.1 ms on any CPU: a slice of this length is rarely interrupted, and the median slice never.
        let rounds = 10_000
        let slices = try slices(cores: cores, seconds: seconds) { _ in
            switch instructionSet {
            case .portable: ProbesPortable.multiplyAdd(rounds: rounds)
            #if arch(x86_64)
                case .avx2: ProbesAVX2.multiplyAdd(rounds: rounds)
                case .avx512: ProbesAVX512.multiplyAdd(rounds: rounds)
            #else
                case .avx2, .avx512: 0
            #endif
            }
        }
        return Double(rounds * operations(instructionSet)) * Double(cores.count) / slices * 1e-9
    }

    /// Bytes per second of all cores together, each reading a part of a buffer of `bytes` bytes again and again:
    /// memory, or the cache that holds so much.
    static func read(
        _ instructionSet: InstructionSet, cores: [Int], bytes: Int, seconds: Double
    ) throws(CommandError) -> Double {
        guard (1 << 12...1 << 32).contains(bytes) else { throw CommandError("\"bytes\" must be 4096 to 4294967296") }
        let count = bytes / cores.count / MemoryLayout<Float>.stride
        // In huge pages where the kernel gives them, as the network's weights are.
        let hugePage = 2 << 20
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: hugePage)
        if bytes >= hugePage { madvise(memory, bytes, MADV_HUGEPAGE) }
        let buffer = memory.initializeMemory(as: Float.self, repeating: 1, count: count * cores.count)
        defer { memory.deallocate() }
        let start = UInt(bitPattern: buffer)
        let slices = try slices(cores: cores, seconds: seconds) { member in
            guard let address = UnsafePointer<Float>(bitPattern: start) else { return 0 }
            let part = address + member * count
            switch instructionSet {
            case .portable: return ProbesPortable.readAll(part, count: count)
            #if arch(x86_64)
                case .avx2: return ProbesAVX2.readAll(part, count: count)
                case .avx512: return ProbesAVX512.readAll(part, count: count)
            #else
                case .avx2, .avx512: return 0
            #endif
            }
        }
        return Double(count * cores.count * MemoryLayout<Float>.stride) / slices
    }

    private static func operations(_ instructionSet: InstructionSet) -> Int {
        switch instructionSet {
        case .portable: ProbesPortable.operationsPerRound()
        #if arch(x86_64)
            case .avx2: ProbesAVX2.operationsPerRound()
            case .avx512: ProbesAVX512.operationsPerRound()
        #else
            case .avx2, .avx512: 0
        #endif
        }
    }

    /// The median time of a slice that every core does at once.
    private static func slices(
        cores: [Int], seconds: Double, _ slice: @escaping @Sendable (_ member: Int) -> Float
    ) throws(CommandError) -> Double {
        let sums = Sums(count: cores.count)
        let team = try Team(cores: cores) { member in sums.values[member] += slice(member) }
        defer { team.dismiss() }
        team.run()
        var times: [Double] = []
        let end = secondsNow() + seconds
        var start = secondsNow()
        while start < end || times.count < 3 {
            team.run()
            let now = secondsNow()
            times.append(now - start)
            start = now
        }
        return times.median
    }

    /// Keeps the compiler from leaving out what nobody reads; one place a thread.
    private final class Sums: @unchecked Sendable {
        let values: UnsafeMutablePointer<Float>

        init(count: Int) {
            values = .allocate(capacity: count)
            values.initialize(repeating: 0, count: count)
        }

        deinit { values.deallocate() }
    }
}
