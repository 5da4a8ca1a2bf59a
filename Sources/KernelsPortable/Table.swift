public import KernelInterface

/// The kernels of this module. The caller has checked that the CPU can run them: `KernelsAVX2.kernelTable()` and
/// its sisters differ by nothing but the instruction set that they were compiled for.
@inline(never)
public func kernelTable() -> KernelTable {
    #if KERNELS_AVX512
        let instructionSet = InstructionSet.avx512
    #elseif KERNELS_AVX2
        let instructionSet = InstructionSet.avx2
    #else
        let instructionSet = InstructionSet.portable
    #endif
    #if KERNELS_AVX512 || KERNELS_AVX2 || arch(arm64)
        let takesHalfWeights = true
    #else
        let takesHalfWeights = false
    #endif
    return KernelTable(
        instructionSet: instructionSet, tileRows: RegisterTile.rows, tileVectors: RegisterTile.vectors,
        rowPanels: RegisterTile.panels, takesHalfWeights: takesHalfWeights, multiplyPanel: { multiplyPanel($0) },
        transformInput: { transformInput($0) }, transformNarrowInput: { transformNarrowInput($0) },
        transformOutput: { transformOutput($0) }, maxPool: { maxPool($0) },
        meanPool: { meanPool($0) },
        transformPatch: { transformPatch($0) })
}
