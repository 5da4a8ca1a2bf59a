/// The instruction sets that the kernels are compiled for, in rising order of vector width.
///
/// One is chosen when a model is loaded and never changes afterwards: results are the same bits for the same patch
/// on one instruction set, and agree within rounding between two.
public enum InstructionSet: String, CaseIterable, Sendable {
    /// Baseline x86-64 (SSE2, multiply then add) or arm64 NEON: runs everywhere.
    case portable
    /// AVX2 with fused multiply-add: x86-64-v3.
    case avx2
    /// AVX-512 F, BW, CD, DQ, VL: x86-64-v4.
    case avx512
}
