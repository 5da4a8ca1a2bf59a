import Glibc
public import Transformations

/// T_α in double precision, written for reading: one point and one pixel at a time, colours by the sextants of HSV.
public struct OracleTransformation {
    /// Fractions, [height][width][channels].
    public var source: [Double]
    public var height: Int
    public var width: Int
    public var channels: Int
    public var contrast: TransformationRanges.Contrast?

    public init(
        source: [Double], height: Int, width: Int, channels: Int, contrast: TransformationRanges.Contrast? = nil
    ) {
        self.source = source
        self.height = height
        self.width = width
        self.channels = channels
        self.contrast = contrast
    }

    /// A value of the patch, and how far it moves when what was sampled moves by `sampled`: the tolerance that a
    /// computation in float32 has a right to. HSV has no continuous saturation and hue at black and grey.
    public struct Value {
        public var value: Double
        public var spread: Double
    }

    /// The patch, [height][width][channels].
    public func patch(
        height patchHeight: Int, width patchWidth: Int, _ alpha: Transformation, _ border: TransformationBorder,
        sampled error: Double = 1e-5
    ) -> [Value] {
        var result: [Value] = []
        let angle = alpha.rotationDegrees * .pi / 180
        for i in 0..<patchHeight {
            for j in 0..<patchWidth {
                let x = (Double(j) - Double(patchWidth - 1) / 2) / alpha.scale
                let y = (Double(i) - Double(patchHeight - 1) / 2) / alpha.scale
                let u =
                    Double(width - 1) / 2 + Double(patchWidth) * alpha.translationX + cos(angle) * x - sin(angle) * y
                let v =
                    Double(height - 1) / 2 + Double(patchHeight) * alpha.translationY + sin(angle) * x + cos(angle) * y
                let pixel = (0..<channels).map { bilinear(u, v, $0, border) }
                let values = colors(pixel, alpha)
                var spread = [Double](repeating: error, count: channels)
                for c in 0..<channels {
                    for step in [-error, error] {
                        var moved = pixel
                        moved[c] += step
                        for (d, value) in colors(moved, alpha).enumerated() {
                            spread[d] = max(spread[d], abs(value - values[d]))
                        }
                    }
                }
                result += zip(values, spread).map { Value(value: $0, spread: $1) }
            }
        }
        return result
    }

    private func bilinear(_ u: Double, _ v: Double, _ channel: Int, _ border: TransformationBorder) -> Double {
        let (left, top) = (Int(u.rounded(.down)), Int(v.rounded(.down)))
        var sum = 0.0
        for row in [top, top + 1] {
            for column in [left, left + 1] {
                let weight = (1 - abs(v - Double(row))) * (1 - abs(u - Double(column)))
                sum += weight * at(row, column, channel, border)
            }
        }
        return sum
    }

    private func at(_ row: Int, _ column: Int, _ channel: Int, _ border: TransformationBorder) -> Double {
        func inside(_ index: Int, _ size: Int) -> Int? {
            if (0..<size).contains(index) { return index }
            switch border {
            case .zero: return nil
            case .replicate: return index < 0 ? 0 : size - 1
            case .reflect:
                if size == 1 { return 0 }
                // Fold at one end, then the other, until it lies inside.
                return inside(index < 0 ? -index : 2 * (size - 1) - index, size)
            }
        }
        guard let row = inside(row, height), let column = inside(column, width) else { return 0 }
        return source[(row * width + column) * channels + channel]
    }

    private func colors(_ pixel: [Double], _ alpha: Transformation) -> [Double] {
        guard channels == 3 else { return pixel }
        func clip(_ x: Double) -> Double { min(max(x, 0), 1) }
        var p = pixel
        if let contrast {
            let projected = (0..<3).map { k in
                alpha.contrast[k] * (0..<3).reduce(0) { $0 + (p[$1] - contrast.mean[$1]) * contrast.components[k][$1] }
            }
            p = (0..<3).map { i in
                contrast.mean[i] + (0..<3).reduce(0) { $0 + projected[$1] * contrast.components[$1][i] }
            }
        }
        p = p.map(clip)
        let largest = max(p[0], p[1], p[2])
        let chroma = largest - min(p[0], p[1], p[2])
        var hue = 0.0
        if chroma > 0 {
            if p[0] == largest {
                hue = (p[1] - p[2]) / chroma / 6
            } else if p[1] == largest {
                hue = (2 + (p[2] - p[0]) / chroma) / 6
            } else {
                hue = (4 + (p[0] - p[1]) / chroma) / 6
            }
        }
        hue += alpha.hue
        hue -= hue.rounded(.down)
        let saturation = clip(
            alpha.factor.saturation * pow(chroma > 0 ? chroma / largest : 0, alpha.power.saturation)
                + alpha.offset.saturation)
        let value = clip(alpha.factor.value * pow(largest, alpha.power.value) + alpha.offset.value)
        let sextant = Int(hue * 6)
        let fraction = hue * 6 - Double(sextant)
        let low = value * (1 - saturation)
        let falling = value * (1 - saturation * fraction)
        let rising = value * (1 - saturation * (1 - fraction))
        switch sextant % 6 {
        case 0: return [value, rising, low]
        case 1: return [falling, value, low]
        case 2: return [low, value, rising]
        case 3: return [low, falling, value]
        case 4: return [rising, low, value]
        default: return [value, low, falling]
        }
    }
}
