import ExemplarNetwork
import Glibc
import Images
import Transformations

/// A patch with its surroundings, from which transformed patches are read.
struct Context: Sendable {
    var height: Int
    var width: Int
    /// [height][width][channels], the patch in the middle.
    var pixels: [UInt8]
}

extension Context {
    /// Cuts a context out of a photograph. Where the photograph ends it goes on as its own mirror image, in which the
    /// outermost pixels are not repeated.
    init(
        of photograph: Photograph, at position: PatchPosition, shape: NetworkConfiguration.PatchShape,
        margin: (rows: Int, columns: Int)
    ) {
        let raster = photograph.raster
        let channels = raster.channels.count
        height = shape.height + 2 * margin.rows
        width = shape.width + 2 * margin.columns
        pixels = []
        pixels.reserveCapacity(height * width * channels)
        for row in 0..<height {
            let y = Self.reflected(position.y - margin.rows + row, raster.height)
            for column in 0..<width {
                let x = Self.reflected(position.x - margin.columns + column, raster.width)
                let start = (y * raster.width + x) * channels
                pixels += raster.pixels[start..<start + channels]
            }
        }
    }

    /// The index inside 0 ..< `count` that `index` is a mirror image of.
    static func reflected(_ index: Int, _ count: Int) -> Int {
        guard count > 1 else { return 0 }
        let period = 2 * (count - 1)
        let place = ((index % period) + period) % period
        return place < count ? place : period - place
    }

    /// Calls `body` with the context as an input of the network under each of `transformations`.
    func withInputs<Result>(
        _ transformations: [Transformation], border: TransformationBorder,
        _ body: (UnsafeBufferPointer<EmbedderInput>) -> Result
    ) -> Result {
        pixels.withUnsafeBytes { bytes in
            let inputs = bytes.baseAddress.map { base in
                transformations.map {
                    EmbedderInput(
                        pixels: PatchPixels(address: base, format: .uint8), height: height, width: width,
                        transformation: $0, border: border)
                }
            }
            return (inputs ?? []).withUnsafeBufferPointer(body)
        }
    }
}

extension TransformationRanges {
    /// How many rows and columns around a patch hold every draw: 21 around 32×32 for the ranges of the paper's authors.
    /// At most four times the patch, beyond which the border rule has to do.
    func margin(around shape: NetworkConfiguration.PatchShape) -> (rows: Int, columns: Int) {
        let angle = min(rotationDegrees, 90) * .pi / 180
        func margin(_ side: Int, _ other: Int) -> Int {
            let (along, across) = (Double(side - 1) / 2, Double(other - 1) / 2)
            // The corner's angle, at which a rotated patch is widest, if the rotation gets there.
            let widest = min(angle, atan2(across, along))
            let reach = (cos(widest) * along + sin(widest) * across) / scale.lowerBound + translation * Double(side)
            return Int(min(max(reach - along, 0), Double(4 * side)).rounded(.up))
        }
        return (margin(shape.height, shape.width), margin(shape.width, shape.height))
    }
}
