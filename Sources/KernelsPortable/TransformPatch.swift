import KernelInterface

/// One transformed patch, 16 pixels of a row at a time; see `TransformationArguments`.
@inline(never)
func transformPatch(_ arguments: TransformationArguments) {
    let output = arguments.output
    let map = arguments.map
    let lanes = Vector(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    let sampler = Sampler(arguments)
    for i in 0..<output.height {
        let y = Float(i) - Float(output.height - 1) / 2
        var j = 0
        while j < output.width {
            // Lanes beyond the row repeat its last pixel, which keeps them inside the image too.
            let count = min(16, output.width - j)
            var x = lanes + Float(j)
            x = x.lesser(Vector(repeating: Float(output.width - 1)))
            x -= Float(output.width - 1) / 2
            let u = Vector(repeating: map.columnFraction + map.columnY * y)
                .accumulating(x, Vector(repeating: map.columnX))
            let v = Vector(repeating: map.rowFraction + map.rowY * y).accumulating(x, Vector(repeating: map.rowX))
            let taps = Taps(u, v, arguments)
            let target = output.address + (i * output.rowStride + j * output.columnStride)
            if arguments.channels == 3 {
                var pixels = sampler.colors(taps)
                if let contrast = arguments.contrast { pixels.apply(contrast) }
                if let color = arguments.color { pixels.apply(color) }
                store(pixels.red, 0, target, count, arguments)
                store(pixels.green, 1, target, count, arguments)
                store(pixels.blue, 2, target, count, arguments)
            } else {
                for channel in 0..<arguments.channels {
                    store(sampler.channel(channel, taps), channel, target, count, arguments)
                }
            }
            j += 16
        }
    }
}

/// Writes one channel of a run of pixels in the network's units.
@inline(__always)
private func store(
    _ values: Vector, _ channel: Int, _ target: UnsafeMutablePointer<Float>, _ count: Int,
    _ arguments: TransformationArguments
) {
    let scaled = Vector(repeating: arguments.offset[channel]).accumulating(
        values, Vector(repeating: arguments.scale[channel]))
    let step = arguments.output.columnStride
    if count == 16 {
        for lane in 0..<16 { target[lane * step + channel] = scaled[lane] }
    } else {
        for lane in 0..<count { target[lane * step + channel] = scaled[lane] }
    }
}

/// The four pixels that each of 16 points lies between, and their weights.
private struct Taps {
    /// Pixels from the start of the image.
    var upperLeft: Integers
    var upperRight: Integers
    var lowerLeft: Integers
    var lowerRight: Integers
    var weightUpperLeft: Vector
    var weightUpperRight: Vector
    var weightLowerLeft: Vector
    var weightLowerRight: Vector

    /// - Parameter u, v: columns and rows from `map.column` and `map.row` on.
    @inline(__always)
    init(_ u: Vector, _ v: Vector, _ arguments: TransformationArguments) {
        let map = arguments.map
        let rowPixels = Integers(repeating: Int32(truncatingIfNeeded: arguments.rowPixels))
        // Columns and rows rise or fall along the run: where both its ends lie inside, all of it does.
        func endsInside(_ position: Vector, _ origin: Int, _ size: Int) -> Bool {
            let (first, last) = (Float(-origin), Float(size - 1 - origin))
            return position[0] >= first && position[15] >= first && position[0] < last && position[15] < last
        }
        let isInside = endsInside(u, map.column, arguments.width) && endsInside(v, map.row, arguments.height)
        if isInside {
            let left = u.floor
            let top = v.floor
            let origin = Int32(truncatingIfNeeded: map.row * arguments.rowPixels + map.column)
            upperLeft = top.integers &* rowPixels &+ left.integers &+ Integers(repeating: origin)
            upperRight = upperLeft &+ 1
            lowerLeft = upperLeft &+ rowPixels
            lowerRight = lowerLeft &+ 1
            let (x, y) = (u - left, v - top)
            (weightUpperRight, weightLowerRight) = (x * (1 - y), x * y)
            (weightUpperLeft, weightLowerLeft) = ((1 - x) * (1 - y), (1 - x) * y)
        } else {
            let columns = Axis(u, from: map.column, size: arguments.width, arguments.border)
            let rows = Axis(v, from: map.row, size: arguments.height, arguments.border)
            let upper = rows.first.integers &* rowPixels
            let lower = rows.second.integers &* rowPixels
            let left = columns.first.integers
            let right = columns.second.integers
            (upperLeft, upperRight) = (upper &+ left, upper &+ right)
            (lowerLeft, lowerRight) = (lower &+ left, lower &+ right)
            weightUpperLeft = columns.firstWeight * rows.firstWeight
            weightUpperRight = columns.secondWeight * rows.firstWeight
            weightLowerLeft = columns.firstWeight * rows.secondWeight
            weightLowerRight = columns.secondWeight * rows.secondWeight
        }
    }

    @inline(__always)
    func interpolate(_ a: Vector, _ b: Vector, _ c: Vector, _ d: Vector) -> Vector {
        (a * weightUpperLeft).accumulating(b, weightUpperRight)
            .accumulating(c, weightLowerLeft).accumulating(d, weightLowerRight)
    }
}

/// The two columns (or rows) inside the image that stand for those around each of 16 points.
private struct Axis {
    var first: Vector
    var second: Vector
    var firstWeight: Vector
    var secondWeight: Vector

    @inline(__always)
    init(_ position: Vector, from origin: Int, size: Int, _ border: PixelBorder) {
        // Far enough out to make no difference, near enough in that whole numbers are exact. NaN becomes a limit.
        let limit = Vector(repeating: 0x1p21)
        let near = (-limit).maximum(position).minimum(limit)
        let whole = near.floor
        secondWeight = near - whole
        firstWeight = 1 - secondWeight
        first = whole + Float(origin)
        second = first + 1
        let last = Vector(repeating: Float(size - 1))
        switch border {
        case .reflect:
            first = Axis.reflected(first, last)
            second = Axis.reflected(second, last)
        case .zero:
            firstWeight = firstWeight.replacing(with: 0, where: (first .< 0) .| (first .> last))
            secondWeight = secondWeight.replacing(with: 0, where: (second .< 0) .| (second .> last))
            fallthrough
        case .replicate:
            first = Axis.clamped(first, last)
            second = Axis.clamped(second, last)
        }
    }

    @inline(__always)
    private static func clamped(_ index: Vector, _ last: Vector) -> Vector {
        Vector().greater(index).lesser(last)
    }

    /// A triangle wave of period 2 · last; 0 where last is 0.
    @inline(__always)
    private static func reflected(_ index: Vector, _ last: Vector) -> Vector {
        let period = (last + last).greater(Vector(repeating: 1))
        // A rounded quotient may be off by one at a whole period, which the mirror forgives.
        let rest = (index - (index / period).floor * period).magnitude
        return rest.lesser(period - rest)
    }
}

/// Reads pixels of the source as fractions.
private struct Sampler {
    let source: UnsafeRawPointer
    let isBytes: Bool
    let channels: Int
    /// The last byte offset at which four bytes may be read; negative where the pixels are not 8-bit RGB.
    let lastWord: Int

    @inline(__always)
    init(_ arguments: TransformationArguments) {
        source = arguments.source
        isBytes = arguments.isBytes
        channels = arguments.channels
        let count = (arguments.height - 1) * arguments.rowPixels + arguments.width
        lastWord = isBytes && channels == 3 && count < 1 << 29 ? count * 3 - 4 : -1
    }

    /// One channel at the points.
    @inline(__always)
    func channel(_ channel: Int, _ taps: Taps) -> Vector {
        let a = gather(taps.upperLeft, channel)
        let b = gather(taps.upperRight, channel)
        let c = gather(taps.lowerLeft, channel)
        let d = gather(taps.lowerRight, channel)
        let sum = taps.interpolate(a, b, c, d)
        return isBytes ? sum * Vector(repeating: 1 / 255) : sum
    }

    /// Red, green and blue at the points.
    @inline(__always)
    func colors(_ taps: Taps) -> Colors {
        guard lastWord >= 0 else {
            return Colors(red: channel(0, taps), green: channel(1, taps), blue: channel(2, taps))
        }
        let a = gatherWords(taps.upperLeft)
        let b = gatherWords(taps.upperRight)
        let c = gatherWords(taps.lowerLeft)
        let d = gatherWords(taps.lowerRight)
        @inline(__always)
        func color(_ shift: Int32) -> Vector {
            @inline(__always)
            func byte(_ word: Integers) -> Vector { Vector(small: (word &>> Integers(repeating: shift)) & 0xFF) }
            return taps.interpolate(byte(a), byte(b), byte(c), byte(d)) * Vector(repeating: 1 / 255)
        }
        return Colors(red: color(0), green: color(8), blue: color(16))
    }

    /// The three bytes of each pixel in the low bytes of a word. The word at the image's last pixel would reach beyond
    /// it, and is read one byte earlier.
    @inline(__always)
    private func gatherWords(_ pixels: Integers) -> Integers {
        let offsets = pixels &* 3
        let last = Integers(repeating: Int32(truncatingIfNeeded: lastWord))
        let isLast = offsets .> last
        let inside = offsets.replacing(with: last, where: isLast)
        var words = Integers()
        for lane in 0..<16 {
            words[lane] = Int32(
                littleEndian: source.loadUnaligned(fromByteOffset: Int(inside[lane]), as: Int32.self))
        }
        return words.replacing(with: words &>> Integers(repeating: 8), where: isLast)
    }

    @inline(__always)
    private func gather(_ pixels: Integers, _ channel: Int) -> Vector {
        var values = Vector()
        if isBytes {
            for lane in 0..<16 {
                values[lane] = Float(
                    source.load(fromByteOffset: Int(pixels[lane]) * channels + channel, as: UInt8.self))
            }
        } else {
            for lane in 0..<16 {
                let offset = (Int(pixels[lane]) * channels + channel) * 4
                values[lane] = Float(
                    bitPattern: UInt32(littleEndian: source.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            }
        }
        return values
    }
}

/// Sixteen RGB pixels in 0 … 1.
private struct Colors {
    var red: Vector
    var green: Vector
    var blue: Vector

    @inline(__always)
    mutating func apply(_ contrast: (SIMD4<Float>, SIMD4<Float>, SIMD4<Float>)) {
        let (r, g, b) = (red, green, blue)
        @inline(__always)
        func row(_ weights: SIMD4<Float>) -> Vector {
            Vector(repeating: weights.w).accumulating(r, Vector(repeating: weights.x))
                .accumulating(g, Vector(repeating: weights.y)).accumulating(b, Vector(repeating: weights.z)).clipped()
        }
        red = row(contrast.0)
        green = row(contrast.1)
        blue = row(contrast.2)
    }

    @inline(__always)
    mutating func apply(_ color: ColorChange) {
        let largest = red.greater(green).greater(blue)
        let range = largest - red.lesser(green).lesser(blue)
        let least = Vector(repeating: .leastNormalMagnitude)

        // In sixths of a turn, −1 … 5, by which channel is largest: red before green before blue, and 0 for grey.
        let difference = (red - green).replaced(by: blue - red, whereZero: largest - green)
            .replaced(by: green - blue, whereZero: largest - red)
        let sector = Vector(repeating: 4).replaced(by: Vector(repeating: 2), whereZero: largest - green)
            .replaced(by: Vector(), whereZero: largest - red)
        let hue = (sector + difference / range.greater(least) + color.hue).wrapped()

        var saturation = range / largest.greater(least)
        if let curve = color.saturation { saturation = saturation.curved(curve) }
        var value = largest
        if let curve = color.value { value = value.curved(curve) }

        let chroma = value * saturation
        // How much of the chroma each channel lacks: trapezia over the hue.
        red = (value - chroma * (2 - (hue - 3).magnitude).clipped()).clipped()
        green = (value - chroma * ((hue - 2).magnitude - 1).clipped()).clipped()
        blue = (value - chroma * ((hue - 4).magnitude - 1).clipped()).clipped()
    }
}

extension Vector {
    @inline(__always)
    fileprivate func curved(_ curve: ColorChange.Curve) -> Vector {
        let powers = curve.power == 1 ? self : raised(to: curve.power)
        return Vector(repeating: curve.offset).accumulating(powers, Vector(repeating: curve.factor)).clipped()
    }

    /// A hue from −1 … 11 to 0 … 6.
    @inline(__always)
    fileprivate func wrapped() -> Vector {
        let lower = self - 6
        let middle = lower + lower.whereNegative(6)
        return middle + middle.whereNegative(6)
    }
}
