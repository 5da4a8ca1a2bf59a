import CPlatform
public import KernelInterface
import KernelsPortable

#if arch(x86_64)
    import KernelsAVX2
    import KernelsAVX512
#endif

extension InstructionSet {
    /// What this CPU (and the operating system's saving of registers) can run, in rising order.
    public static var available: [InstructionSet] {
        allCases.filter {
            switch $0 {
            case .portable: true
            case .avx2: exemplar_cpu_has_avx2() != 0
            case .avx512: exemplar_cpu_has_avx512() != 0
            }
        }
    }

    /// The widest that this CPU can run.
    public static var best: InstructionSet { available.last ?? .portable }
}

extension KernelTable {
    /// The kernels for `instructionSet`; nil where this CPU cannot run them.
    public static func table(for instructionSet: InstructionSet) -> KernelTable? {
        guard InstructionSet.available.contains(instructionSet) else { return nil }
        switch instructionSet {
        case .portable: return KernelsPortable.kernelTable()
        #if arch(x86_64)
            case .avx2: return KernelsAVX2.kernelTable()
            case .avx512: return KernelsAVX512.kernelTable()
        #else
            case .avx2, .avx512: return nil
        #endif
        }
    }
}
