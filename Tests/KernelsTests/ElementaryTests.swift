import Glibc
import Testing

@testable import KernelsPortable

/// The vectors' own logarithm and exponential, against the C library in double precision.
@Suite struct ElementaryTests {
    @Test func logarithmsAndExponentialsAreAccurate() {
        var worst = (logarithm: 0.0, exponential: 0.0)
        for step in 0..<4000 {
            // From 2⁻¹²⁶ to 1, and from −125 to 127: every binade, and both sides of each power of two.
            let x = Float(Glibc.exp2(-126 + 126 * Double(step) / 3999))
            let logarithm = Double(SIMD16<Float>(repeating: x).log2()[step % 16])
            let expected = Glibc.log2(Double(x))
            worst.logarithm = max(worst.logarithm, abs(logarithm - expected) / max(1, abs(expected)))
            let y = Float(-125 + 252 * Double(step) / 4000)
            let power = Double(SIMD16<Float>(repeating: y).exp2()[step % 16])
            worst.exponential = max(worst.exponential, abs(power / Glibc.exp2(Double(y)) - 1))
        }
        #expect(worst.logarithm < 5e-7 && worst.exponential < 5e-7, "\(worst)")
        #expect(SIMD16<Float>(repeating: 1).log2() == SIMD16<Float>())
        #expect(SIMD16<Float>(repeating: -3).exp2() == SIMD16<Float>(repeating: 0.125))
    }

    @Test func powersOfZeroAreTheLimit() {
        let zero = SIMD16<Float>()
        #expect(zero.raised(to: 0.01) == zero)
        #expect(zero.raised(to: 0) == SIMD16<Float>(repeating: 1))
        #expect(zero.raised(to: -1)[0] > 1e30)
    }

    @Test func floorsAndWholeNumbers() {
        let x = SIMD16<Float>(
            -2.5, -2, -0.25, -0, 0.75, 1, 1.5, 2.5, 4_194_303, -4_194_303, 0.5, -0.5, 3, 7.9, 8, 100.125)
        for lane in 0..<16 {
            #expect(x.floor[lane] == x[lane].rounded(.down))
            #expect(x.floor.integers[lane] == Int32(x[lane].rounded(.down)))
        }
    }
}
