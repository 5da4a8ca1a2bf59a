extension Oracle.Map {
    /// The maximum of each quadrant as [C, 2, 2], by the definition: quadrant (a, b) has the rows
    /// ⌊aH/2⌋ … ⌈(a+1)H/2⌉ − 1, and columns alike.
    public func quadrants(scale: Double = 1) -> [Double] {
        func part(_ index: Int, of size: Int) -> ClosedRange<Int> {
            let (start, end) = (Double(index * size) / 2, Double((index + 1) * size) / 2)
            return Int(start.rounded(.down))...Int(end.rounded(.up)) - 1
        }
        return (0..<channels).flatMap { c in
            (0...1).flatMap { a in
                (0...1).map { b in
                    let values = part(a, of: height).flatMap { y in part(b, of: width).compactMap { at(c, y, $0) } }
                    return scale * (values.max() ?? .nan)
                }
            }
        }
    }

    /// The maximum of each channel.
    public var maxima: [Double] { planes.map { $0.max() ?? .nan } }

    /// The mean of each channel.
    public var means: [Double] { planes.map { $0.reduce(0, +) / Double($0.count) } }

    private var planes: [ArraySlice<Double>] {
        let count = height * width
        return (0..<channels).map { values[$0 * count..<($0 + 1) * count] }
    }
}
