// One register of this instruction set, and how many of them accumulate: more than the latency of a multiply-add times
// the units that do it, fewer than the register file holds.
#if PROBES_AVX512
    public typealias Register = SIMD16<Float>
    private typealias Accumulators = InlineArray<24, Register>
#elseif PROBES_AVX2
    public typealias Register = SIMD8<Float>
    private typealias Accumulators = InlineArray<12, Register>
#elseif arch(arm64)
    public typealias Register = SIMD4<Float>
    private typealias Accumulators = InlineArray<24, Register>
#else
    public typealias Register = SIMD4<Float>
    private typealias Accumulators = InlineArray<12, Register>
#endif

/// Floating-point operations of one round of `multiplyAdd`.
@inline(never)
public func operationsPerRound() -> Int { 2 * Accumulators.count * Register.scalarCount }

/// a ← a · x + y on registers alone, as often as the CPU can: the peak that kernels are held against. Baseline x86-64
/// has no fused multiply-add; there it is a multiplication and an addition.
///
/// - Returns: the sum of all accumulators, so that no work can be left out.
@inline(never)
public func multiplyAdd(rounds: Int) -> Float {
    var accumulators = Accumulators(repeating: Register(repeating: 1))
    for index in accumulators.indices { accumulators[index] += Float(index) }
    // A fixed point near 1: neither denormal numbers nor infinities, whose speed may differ.
    let x = Register(repeating: 0.999)
    let y = Register(repeating: 0.001)
    for _ in 0..<rounds {
        for index in accumulators.indices {
            #if PROBES_AVX512 || PROBES_AVX2 || arch(arm64)
                accumulators[index] = y.addingProduct(accumulators[index], x)
            #else
                accumulators[index] = accumulators[index] * x + y
            #endif
        }
    }
    var sum = Register()
    for index in accumulators.indices { sum += accumulators[index] }
    return sum.sum()
}
