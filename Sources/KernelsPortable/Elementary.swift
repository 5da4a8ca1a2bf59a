/// Elementary functions of a vector, each rounded to float32 within a few units: branch-free, and the same for every lane.
extension Vector {
    /// 0 … 1; NaN becomes 0.
    @inline(__always)
    func clipped() -> Vector {
        let positive = Vector().replacing(with: self, where: self .> Vector())
        return positive.replacing(with: 1, where: positive .> 1)
    }

    /// The nearest whole number, for |x| ≤ 2²²: adding 1.5 · 2²³ leaves no bits for a fraction.
    @inline(__always)
    var nearestWhole: Vector { (self + Vector.wholes) - Vector.wholes }

    /// The largest whole number that is not above x, for |x| ≤ 2²².
    @inline(__always)
    var floor: Vector {
        let nearest = nearestWhole
        return nearest.replacing(with: nearest - 1, where: nearest .> self)
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
        series = Vector(repeating: 2 / 5 * 1.442695041).adding(series, square)
        series = Vector(repeating: 2 / 3 * 1.442695041).adding(series, square)
        series = Vector(repeating: 2 * 1.442695041).adding(series, square)
        // Biased, so that a negative exponent becomes small and positive.
        let whole = Vector(small: exponent &+ Integers(repeating: 256)) - 256
        return whole.adding(s, series)
    }

    /// 2^x with a relative error below 3·10⁻⁷, x cut to −125 … 127.
    ///
    /// x = n + f, n the nearest whole number, and 2^f by seven terms of the exponential series.
    @inline(__always)
    func exp2() -> Vector {
        let low = Vector(repeating: -125)
        var x = low.replacing(with: self, where: self .> low)
        x = x.replacing(with: 127, where: x .> 127)
        let n = x.nearestWhole
        let z = (x - n) * Vector(repeating: 0.6931471806)
        var series = Vector(repeating: 1 / 720)
        series = Vector(repeating: 1 / 120).adding(series, z)
        series = Vector(repeating: 1 / 24).adding(series, z)
        series = Vector(repeating: 1 / 6).adding(series, z)
        series = Vector(repeating: 0.5).adding(series, z)
        series = Vector(repeating: 1).adding(series, z)
        series = Vector(repeating: 1).adding(series, z)
        let scale = n.integers &<< Integers(repeating: 23)
        return unsafeBitCast(unsafeBitCast(series, to: Integers.self) &+ scale, to: Vector.self)
    }

    /// x^power for 0 ≤ x ≤ 1.
    @inline(__always)
    func raised(to power: Float) -> Vector {
        let least = Vector(repeating: .leastNormalMagnitude)
        let normal = least.replacing(with: self, where: self .> least)
        let result = (normal.log2() * power).exp2()
        return power > 0 ? result.replacing(with: 0, where: self .== Vector()) : result
    }
}

typealias Integers = SIMD16<Int32>
