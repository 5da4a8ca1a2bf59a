/// Elementary functions of a vector, each rounded to float32 within a few units: branch-free, and the same for every
/// lane.
extension Vector {
    /// `other` where it is a smaller number. NaN in `other` is never taken.
    @inline(__always)
    func minimum(_ other: Vector) -> Vector {
        replacing(with: other, where: other .< self)
    }

    // The choices that follow go by bits: the compiler takes most comparisons of vectors apart into quarters on
    // AVX-512, and the colour steps then take twice as long.

    /// 0 … 1; NaN becomes one of them. Floats that are not negative are ordered as their bits.
    @inline(__always)
    func clipped() -> Vector {
        let sign = Integers(repeating: 31)
        let bits = unsafeBitCast(self, to: Integers.self)
        let positive = bits & ~(bits &>> sign)
        let room = Integers(repeating: 0x3F80_0000) &- positive
        return unsafeBitCast(positive &+ (room & (room &>> sign)), to: Vector.self)
    }

    /// The greater of two numbers, neither NaN.
    @inline(__always)
    func greater(_ other: Vector) -> Vector { chosen(other, whereNegative: self - other) }

    /// The lesser of two numbers, neither NaN.
    @inline(__always)
    func lesser(_ other: Vector) -> Vector { chosen(other, whereNegative: other - self) }

    /// This where the sign bit of `difference` is clear, `other` where it is set.
    @inline(__always)
    private func chosen(_ other: Vector, whereNegative difference: Vector) -> Vector {
        let mask = unsafeBitCast(difference, to: Integers.self) &>> Integers(repeating: 31)
        let kept = unsafeBitCast(self, to: Integers.self) & ~mask
        return unsafeBitCast(kept | (unsafeBitCast(other, to: Integers.self) & mask), to: Vector.self)
    }

    @inline(__always)
    var magnitude: Vector {
        unsafeBitCast(unsafeBitCast(self, to: Integers.self) & Integers(repeating: .max), to: Vector.self)
    }

    /// Where the sign bit is set, `number`, elsewhere 0.
    @inline(__always)
    func whereNegative(_ number: Float) -> Vector {
        let mask = unsafeBitCast(self, to: Integers.self) &>> Integers(repeating: 31)
        return unsafeBitCast(mask & Integers(repeating: Int32(bitPattern: number.bitPattern)), to: Vector.self)
    }

    /// This where `other` is not 0, `replacement` where it is; `other` must not be NaN.
    @inline(__always)
    func replaced(by replacement: Vector, whereZero other: Vector) -> Vector {
        let bits = unsafeBitCast(other.magnitude, to: Integers.self)
        let mask = (bits &- Integers(repeating: 1)) &>> Integers(repeating: 31)
        let kept = unsafeBitCast(self, to: Integers.self) & ~mask
        return unsafeBitCast(kept | (unsafeBitCast(replacement, to: Integers.self) & mask), to: Vector.self)
    }

    /// The nearest whole number, for |x| ≤ 2²²: adding 1.5 · 2²³ leaves no bits for a fraction.
    @inline(__always)
    var nearestWhole: Vector { (self + Vector.wholes) - Vector.wholes }

    /// The largest whole number that is not above x, for |x| ≤ 2²².
    @inline(__always)
    var floor: Vector {
        let nearest = nearestWhole
        // Adding 0 makes −0 positive.
        return nearest + ((self - nearest) + Vector()).whereNegative(-1)
    }

    /// A whole number, |x| ≤ 2²², as an integer.
    @inline(__always)
    var integers: Integers {
        unsafeBitCast(self + Vector.wholes, to: Integers.self) &- unsafeBitCast(Vector.wholes, to: Integers.self)
    }

    /// Integers from 0 to 2²³ − 1.
    @inline(__always)
    init(small integers: Integers) {
        self = unsafeBitCast(integers | Integers(repeating: 0x4B00_0000), to: Vector.self) - 0x1p23
    }

    @inline(__always)
    static var wholes: Vector { Vector(repeating: 0x1.8p23) }

    /// log₂ x for normal x > 0, with a relative error below 3·10⁻⁷ for x ≤ ½ and an absolute one elsewhere below 10⁻⁷.
    ///
    /// x = 2^e · m, m from √½ to √2, and log₂ m = 2/ln 2 · artanh s with s = (m − 1)/(m + 1): four terms of its series.
    @inline(__always)
    func log2() -> Vector {
        let bits = unsafeBitCast(self, to: Integers.self)
        let exponent = (bits &- Integers(repeating: 0x3F35_04F3)) &>> Integers(repeating: 23)
        let m = unsafeBitCast(bits &- (exponent &<< Integers(repeating: 23)), to: Vector.self)
        let s = (m - 1) / (m + 1)
        let square = s * s
        var series = Vector(repeating: 2 / 7 * 1.442695041)
        series = Vector(repeating: 2 / 5 * 1.442695041).accumulating(series, square)
        series = Vector(repeating: 2 / 3 * 1.442695041).accumulating(series, square)
        series = Vector(repeating: 2 * 1.442695041).accumulating(series, square)
        // Biased, so that a negative exponent becomes small and positive.
        let whole = Vector(small: exponent &+ Integers(repeating: 256)) - 256
        return whole.accumulating(s, series)
    }

    /// 2^x with a relative error below 3·10⁻⁷, x cut to −125 … 127.
    ///
    /// x = n + f, n the nearest whole number, and 2^f by seven terms of the exponential series.
    @inline(__always)
    func exp2() -> Vector {
        let x = Vector(repeating: -125).greater(self).lesser(Vector(repeating: 127))
        let n = x.nearestWhole
        let z = (x - n) * Vector(repeating: 0.6931471806)
        var series = Vector(repeating: 1 / 720)
        series = Vector(repeating: 1 / 120).accumulating(series, z)
        series = Vector(repeating: 1 / 24).accumulating(series, z)
        series = Vector(repeating: 1 / 6).accumulating(series, z)
        series = Vector(repeating: 0.5).accumulating(series, z)
        series = Vector(repeating: 1).accumulating(series, z)
        series = Vector(repeating: 1).accumulating(series, z)
        let scale = n.integers &<< Integers(repeating: 23)
        return unsafeBitCast(unsafeBitCast(series, to: Integers.self) &+ scale, to: Vector.self)
    }

    /// x^power for 0 ≤ x ≤ 1.
    @inline(__always)
    func raised(to power: Float) -> Vector {
        let normal = greater(Vector(repeating: .leastNormalMagnitude))
        let result = (normal.log2() * power).exp2()
        return power > 0 ? result.replaced(by: Vector(), whereZero: self) : result
    }
}

typealias Integers = SIMD16<Int32>
