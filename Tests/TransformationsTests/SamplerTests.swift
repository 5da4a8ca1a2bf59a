import Glibc
import Testing
import Transformations

@Suite struct SamplerTests {
    private static let ranges = TransformationRanges(
        translation: 0.25, scale: 0.5...2, rotationDegrees: 20,
        contrast: TransformationRanges.Contrast(
            mean: [0, 0, 0], components: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], sigma: [1, 1, 0.5]),
        color: TransformationRanges.Color(power: 0.25...4, factor: 0.5...2, offset: -0.1...0.1), hue: -0.1...0.1,
        border: .reflect)

    private static func members(_ alpha: Transformation) -> [Double] {
        [alpha.translationX, alpha.translationY, alpha.scale, alpha.rotationDegrees] + alpha.contrast
            + [alpha.power, alpha.factor, alpha.offset].flatMap { [$0.saturation, $0.value] } + [alpha.hue]
    }

    /// From a Python program of docs/transformations.md's text; libraries' logarithms and cosines differ in last bits.
    @Test(arguments: [
        (
            UInt64(7), UInt64(0),
            [
                0.1250761110515563, -0.20717106734935925, 1.5058395691184552, 18.314167616626232, 1.053880911902193,
                0.9291309036914494, 1.1839512493844842, 3.8862366044594907, 1.1361022229544226, 0.796904571059196,
                1.3553395780742177, -0.006398837137841368, -0.018102190497294807, -0.005540698614407022,
            ]
        ),
        (
            UInt64(1 << 53 - 1), UInt64(1 << 32 + 5),
            [
                -0.16054848058769106, -0.2100056359983447, 0.7422547667996531, -15.368344037639234,
                0.6975529805161045, 0.3152359624890547, 0.7707151914836119, 1.025415652750764, 0.2944539077728755,
                0.732221486164169, 0.65322371533171, 0.07609409632019848, -0.029333572850244072,
                -0.08860853214960147,
            ]
        ),
    ])
    func drawsAreThoseOfTheDocument(_ seed: UInt64, _ index: UInt64, _ expected: [Double]) {
        let drawn = Self.members(TransformationSampler(ranges: Self.ranges).draw(seed: seed, index: index))
        #expect(drawn.count == expected.count)
        for (value, expected) in zip(drawn, expected) {
            #expect(abs(value - expected) <= 1e-14 * abs(expected) + 1e-16)
        }
    }

    @Test func drawsFillTheirRangesEvenly() {
        let sampler = TransformationSampler(ranges: Self.ranges)
        let count = 4000
        // Each member brought to −1 … 1, uniform, but for the normal variates of contrast.
        let units = (0..<count).map { index -> [Double] in
            let alpha = sampler.draw(seed: 11, index: UInt64(index))
            let members = Self.members(alpha)
            return [members[0] * 4, members[1] * 4, log2(members[2]), members[3] / 20]
                + [log2(members[4]), log2(members[5]), log2(members[6]) * 2]
                + [log2(members[7]) / 2, log2(members[8]) / 2, log2(members[9]), log2(members[10])]
                + members[11...].map { $0 * 10 }
        }
        func deviation(_ member: Int) -> Double { (4..<7).contains(member) ? 1 : (1.0 / 3).squareRoot() }
        for member in 0..<14 {
            let values = units.map { $0[member] }
            let mean = values.reduce(0, +) / Double(count)
            let square = values.reduce(0) { $0 + $1 * $1 } / Double(count)
            let isNormal = (4..<7).contains(member)
            // Five standard errors, of variates of variance 1 or 1/3, of their squares and of their products.
            #expect(abs(mean) < 5 * deviation(member) / Double(count).squareRoot(), "member \(member): \(mean)")
            #expect(
                abs(square - (isNormal ? 1 : 1.0 / 3)) < 5 * (isNormal ? 1.42 : 0.3) / Double(count).squareRoot(),
                "member \(member): \(square)")
            if !isNormal {
                #expect(values.allSatisfy { abs($0) <= 1 + 1e-12 })
                #expect((values.min() ?? 0) < -0.99 && (values.max() ?? 0) > 0.99)
            }
            for other in 0..<member {
                let product = units.reduce(0) { $0 + $1[member] * $1[other] } / Double(count)
                #expect(
                    abs(product) < 5 * deviation(member) * deviation(other) / Double(count).squareRoot(),
                    "members \(member) and \(other): \(product)")
            }
        }
    }

    @Test func absentRangesAreTheIdentityAndLeaveTheOtherDrawsAlone() {
        let whole = TransformationSampler(ranges: Self.ranges).draw(seed: 5, index: 9)
        var ranges = Self.ranges
        ranges.contrast = nil
        ranges.color = nil
        #expect(
            TransformationSampler(ranges: ranges).draw(seed: 5, index: 9)
                == whole.restricted(to: [.translation, .scale, .rotation, .hue]))
        ranges = TransformationRanges(
            translation: 0, scale: 1...1, rotationDegrees: 0, contrast: nil, color: nil, hue: nil, border: .zero)
        #expect(TransformationSampler(ranges: ranges).draw(seed: 5, index: 9) == .identity)
    }

    @Test func stepsAreRestrictedOneByOne() {
        let whole = TransformationSampler(ranges: Self.ranges).draw(seed: 5, index: 10)
        #expect(whole.restricted(to: .all) == whole)
        #expect(whole.restricted(to: []) == .identity)
        // Which of the 14 members each step has.
        let steps: [(TransformationSteps, Range<Int>)] = [
            (.translation, 0..<2), (.scale, 2..<3), (.rotation, 3..<4), (.contrast, 4..<7), (.color, 7..<13),
            (.hue, 13..<14),
        ]
        let (drawn, identity) = (Self.members(whole), Self.members(.identity))
        for (index, (step, range)) in steps.enumerated() {
            #expect(step.rawValue == 1 << UInt8(index))
            let expected = drawn.indices.map { range.contains($0) ? drawn[$0] : identity[$0] }
            #expect(Self.members(whole.restricted(to: step)) == expected)
        }
    }
}
