/// Philox4x32-10, a random function of a 128-bit counter under a 64-bit key (Salmon, Moraes, Dror and Shaw, "Parallel
/// random numbers: as easy as 1, 2, 3", SC 2011, section 3.3): any draw can be had without those before it.
enum Philox {
    /// The four words of block `counter` under `key`, lowest words first.
    static func block(_ counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
        var words = counter
        var roundKey = key
        for _ in 0..<10 {
            let first = words[0].multipliedFullWidth(by: 0xD251_1F53)
            let second = words[2].multipliedFullWidth(by: 0xCD9E_8D57)
            words = SIMD4(
                second.high ^ words[1] ^ roundKey[0], second.low, first.high ^ words[3] ^ roundKey[1], first.low)
            // The fractions of the golden ratio and of √3: a Weyl sequence of round keys.
            roundKey &+= SIMD2(0x9E37_79B9, 0xBB67_AE85)
        }
        return words
    }
}

/// The uniform numbers of one draw, in [0, 1), by position: the order of use changes nothing.
struct UniformDraws {
    private let key: SIMD2<UInt32>
    private let index: SIMD2<UInt32>

    init(seed: UInt64, index: UInt64) {
        key = Self.words(seed)
        self.index = Self.words(index)
    }

    private static func words(_ value: UInt64) -> SIMD2<UInt32> {
        SIMD2(UInt32(truncatingIfNeeded: value), UInt32(truncatingIfNeeded: value >> 32))
    }

    /// The numbers 2 · `block` and 2 · `block` + 1, of 53 bits each.
    func pair(_ block: UInt32) -> (Double, Double) {
        let words = Philox.block(SIMD4(block, 0, index[0], index[1]), key: key)
        func fraction(_ low: UInt32, _ high: UInt32) -> Double {
            Double((UInt64(high) << 32 | UInt64(low)) >> 11) * 0x1p-53
        }
        return (fraction(words[0], words[1]), fraction(words[2], words[3]))
    }
}
