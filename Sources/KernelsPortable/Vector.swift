/// Sixteen floats: one zmm register, two ymm, four xmm or four NEON registers.
typealias Vector = SIMD16<Float>

/// What the register file of this variant holds without spilling: accumulators, one row of weights, one broadcast; and
/// how many panels' accumulators keep the multiply-adds of a single row busy.
enum RegisterTile {
    #if KERNELS_AVX512
        static let rows = 12
        static let vectors = 2
        typealias Panels<let vectors: Int> = InlineArray<2, InlineArray<vectors, Vector>>
    #elseif KERNELS_AVX2
        static let rows = 6
        static let vectors = 1
        typealias Panels<let vectors: Int> = InlineArray<4, InlineArray<vectors, Vector>>
    #elseif arch(arm64)
        static let rows = 5
        static let vectors = 1
        typealias Panels<let vectors: Int> = InlineArray<4, InlineArray<vectors, Vector>>
    #else
        static let rows = 2
        static let vectors = 1
        typealias Panels<let vectors: Int> = InlineArray<2, InlineArray<vectors, Vector>>
    #endif
    static var panels: Int { Panels<1>.count }
}

extension UnsafePointer<Float> {
    @inline(__always)
    func vector(at offset: Int) -> Vector {
        UnsafeRawPointer(self + offset).loadUnaligned(as: Vector.self)
    }
}

extension UnsafeMutablePointer<Float> {
    @inline(__always)
    func vector(at offset: Int) -> Vector {
        UnsafeRawPointer(self + offset).loadUnaligned(as: Vector.self)
    }

    @inline(__always)
    func store(_ vector: Vector, at offset: Int) {
        UnsafeMutableRawPointer(self + offset).storeBytes(of: vector, as: Vector.self)
    }
}

extension Vector {
    /// self + x · y: fused where the instruction set fuses. Baseline x86-64 has no fused multiply-add, and the
    /// library's stand-in is a call a lane.
    @inline(__always)
    mutating func accumulate(_ x: Vector, _ y: Vector) {
        #if KERNELS_AVX512 || KERNELS_AVX2 || arch(arm64)
            addProduct(x, y)
        #else
            self += x * y
        #endif
    }

    /// self + x · y, as `accumulate` makes it.
    @inline(__always)
    func accumulating(_ x: Vector, _ y: Vector) -> Vector {
        var sum = self
        sum.accumulate(x, y)
        return sum
    }

    /// self − x · y, fused where `accumulate` is.
    @inline(__always)
    func subtractingProduct(_ x: Vector, _ y: Vector) -> Vector {
        #if KERNELS_AVX512 || KERNELS_AVX2 || arch(arm64)
            return addingProduct(-x, y)
        #else
            return self - x * y
        #endif
    }

    @inline(__always)
    func maximum(_ other: Vector) -> Vector {
        replacing(with: other, where: self .< other)
    }
}
