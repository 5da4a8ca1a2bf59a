import Glibc
import KernelInterface
import Transformations

/// Fills the network's input from pixels: the patch as it is, or T_α of it.
struct InputFilling: Sendable {
    private let pixels: PixelTable
    private let channels: Int
    /// Mean and components of the contrast step, where the model has them.
    private let contrast: TransformationRanges.Contrast?
    private let kernels: KernelTable

    init(_ configuration: NetworkConfiguration, kernels: KernelTable) {
        pixels = PixelTable(configuration.preprocessing, channels: configuration.input.channels)
        channels = configuration.input.channels
        contrast = configuration.transformations?.contrast
        self.kernels = kernels
    }

    /// Writes the patch that `input` is, or its transformation, into the network's input map.
    func fill(_ map: MapView, from input: EmbedderInput) {
        assert(input.height > 0 && input.width > 0, "an input without pixels")
        if isPlain(input, map) {
            pixels.apply(to: window(of: input, map), rowPixels: input.width, map)
        } else {
            pixels.withCoefficients { transform(input, into: map, scale: $0, offset: $1) }
        }
    }

    /// The same as 8-bit pixels of the patch that the map would be filled with.
    func fill(
        _ bytes: UnsafeMutablePointer<UInt8>, of shape: NetworkConfiguration.PatchShape, from input: EmbedderInput
    ) {
        let count = shape.count
        withUnsafeTemporaryAllocation(of: Float.self, capacity: count + 2 * channels) { buffer in
            guard let base = buffer.baseAddress else { return }
            let map = MapView(
                address: base, height: shape.height, width: shape.width, rowStride: shape.width * channels,
                columnStride: channels)
            let (scale, offset) = (base + count, base + count + channels)
            scale.update(repeating: 255, count: channels)
            offset.update(repeating: 0, count: channels)
            if isPlain(input, map) {
                let table = PixelTable(
                    NetworkConfiguration.Preprocessing(
                        scale: 1, mean: [Double](repeating: 0, count: channels),
                        std: [Double](repeating: 1, count: channels)),
                    channels: channels)
                table.apply(to: window(of: input, map), rowPixels: input.width, map)
            } else {
                transform(input, into: map, scale: scale, offset: offset)
            }
            // Written so that NaN becomes 0.
            for index in 0..<count { bytes[index] = UInt8(min(base[index] > 0 ? base[index] : 0, 255).rounded()) }
        }
    }

    /// Whether the input's centre window is what the network reads, to the bit.
    private func isPlain(_ input: EmbedderInput, _ map: MapView) -> Bool {
        guard input.height >= map.height, input.width >= map.width else { return false }
        guard let alpha = input.transformation else { return true }
        return alpha.keepsGeometry && contrastMatrix(alpha) == nil && colorChange(alpha) == nil
    }

    private func window(of input: EmbedderInput, _ map: MapView) -> PatchPixels {
        let first = (input.height - map.height) / 2 * input.width + (input.width - map.width) / 2
        return PatchPixels(
            address: input.pixels.address + first * channels * input.pixels.format.byteCount,
            format: input.pixels.format)
    }

    private func transform(
        _ input: EmbedderInput, into map: MapView, scale: UnsafePointer<Float>, offset: UnsafePointer<Float>
    ) {
        let alpha = input.transformation ?? .identity
        // Of an image larger than the kernel's coordinates only the middle is seen.
        let top = Self.excess(input.height) / 2
        let left = Self.excess(input.width) / 2
        let seen = Extent(input.height - 2 * top, input.width - 2 * left)
        kernels.transformPatch(
            TransformationArguments(
                source: input.pixels.address
                    + (top * input.width + left) * channels * input.pixels.format.byteCount,
                isBytes: input.pixels.format == .uint8, height: seen.height, width: seen.width,
                rowPixels: input.width, channels: channels, border: PixelBorder(input.border),
                map: AffineMap(alpha, seen, map), contrast: contrastMatrix(alpha),
                color: colorChange(alpha), output: map, scale: scale, offset: offset))
    }

    /// How many rows or columns are too many, an even number.
    private static func excess(_ side: Int) -> Int { (max(side - 1 << 20, 0) + 1) / 2 * 2 }

    /// x ↦ m + Σ_k f_k ⟨x − m, c_k⟩ c_k as the rows of a 3 × 4 matrix; nil for the identity.
    private func contrastMatrix(_ alpha: Transformation) -> (SIMD4<Float>, SIMD4<Float>, SIMD4<Float>)? {
        let factors = alpha.contrast
        guard channels == 3, let contrast, factors.count == 3, factors.contains(where: { $0 != 1 }) else { return nil }
        func row(_ i: Int) -> SIMD4<Float> {
            var row = SIMD4<Double>(0, 0, 0, contrast.mean[i])
            for j in 0..<3 {
                for k in 0..<3 { row[j] += factors[k] * contrast.components[k][i] * contrast.components[k][j] }
                row.w -= row[j] * contrast.mean[j]
            }
            return SIMD4<Float>(row)
        }
        return (row(0), row(1), row(2))
    }

    private func colorChange(_ alpha: Transformation) -> ColorChange? {
        guard channels == 3 else { return nil }
        func curve(_ power: Double, _ factor: Double, _ offset: Double) -> ColorChange.Curve? {
            power == 1 && factor == 1 && offset == 0
                ? nil : ColorChange.Curve(power: Float(power), factor: Float(factor), offset: Float(offset))
        }
        let saturation = curve(alpha.power.saturation, alpha.factor.saturation, alpha.offset.saturation)
        let value = curve(alpha.power.value, alpha.factor.value, alpha.offset.value)
        guard saturation != nil || value != nil || alpha.hue != 0 else { return nil }
        return ColorChange(
            saturation: saturation, value: value, hue: Float(6 * (alpha.hue - alpha.hue.rounded(.down))))
    }
}

extension AffineMap {
    /// source(p) = c_source + side · t + R(θ)(p − c_patch) / s, with c = (side − 1)/2 of its own raster.
    fileprivate init(_ alpha: Transformation, _ input: Extent, _ output: MapView) {
        let angle = alpha.rotationDegrees * .pi / 180
        let (cosine, sine) = (cos(angle) / alpha.scale, sin(angle) / alpha.scale)
        // An explicit α may lead anywhere, even to no number.
        func bounded(_ position: Double) -> Double { position > -0x1p21 ? min(position, 0x1p21) : -0x1p21 }
        let column = bounded(Double(input.width - 1) / 2 + Double(output.width) * alpha.translationX)
        let row = bounded(Double(input.height - 1) / 2 + Double(output.height) * alpha.translationY)
        self.init(
            column: Int(column.rounded(.down)), row: Int(row.rounded(.down)),
            columnFraction: Float(column - column.rounded(.down)), rowFraction: Float(row - row.rounded(.down)),
            columnX: Float(cosine), columnY: Float(-sine), rowX: Float(sine), rowY: Float(cosine))
    }
}

extension PixelBorder {
    fileprivate init(_ border: TransformationBorder) {
        switch border {
        case .reflect: self = .reflect
        case .replicate: self = .replicate
        case .zero: self = .zero
        }
    }
}
