import Images
import Testing

@Suite struct RasterTests {
    /// Every pixel says where it is.
    static let raster = Raster(
        height: 4, width: 5, channels: .rgb,
        pixels: (0..<4).flatMap { y in (0..<5).flatMap { x in [UInt8(x), UInt8(y), UInt8(10 * y + x)] } })

    @Test func sizesMustFit() {
        #expect(Raster(height: 2, width: 2, channels: .grey, pixels: [1, 2, 3, 4]) != nil)
        for (height, width, channels, count) in [
            (2, 2, Raster.Channels.rgb, 4), (2, 2, .grey, 5), (2, 2, .rgb, 13), (0, 2, .grey, 0), (2, 0, .grey, 0),
            (-1, -4, .grey, 4), (.max, .max, .grey, 1), (.max, 2, .rgb, 6),
        ] {
            let pixels = [UInt8](repeating: 0, count: count)
            #expect(Raster(height: height, width: width, channels: channels, pixels: pixels) == nil)
        }
    }

    @Test func aCropIsWhereItIsSaidToBe() throws {
        let raster = try #require(Self.raster)
        let crop = try #require(raster.crop(x: 3, y: 2, height: 2, width: 2))
        #expect((crop.height, crop.width, crop.channels) == (2, 2, .rgb))
        #expect(crop.pixels == [3, 2, 23, 4, 2, 24, 3, 3, 33, 4, 3, 34])
        #expect(raster.crop(x: 0, y: 0, height: 4, width: 5) == raster)
    }

    @Test func aCropOutsideIsNone() throws {
        let raster = try #require(Self.raster)
        for (x, y, height, width) in [
            (4, 0, 1, 2), (0, 3, 2, 1), (-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 5, 1), (0, 0, 1, 6), (0, 0, 0, 1),
            (0, 0, 1, -1), (.max, .max, 1, 1), (0, 0, .max, .max), (.min, 0, 1, 1),
        ] {
            #expect(raster.crop(x: x, y: y, height: height, width: width) == nil)
        }
    }

    @Test func greyIsLuma() throws {
        let colours: [UInt8] = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 200, 100, 50]
        let raster = try #require(Raster(height: 2, width: 3, channels: .rgb, pixels: colours))
        // 0.299 · 255 = 76.2; 0.587 · 255 = 149.7; 0.114 · 255 = 29.1; 59.8 + 58.7 + 5.7 = 124.2.
        #expect(raster.grey().pixels == [76, 150, 29, 255, 0, 124])
        #expect(raster.grey().channels == .grey)
        #expect(raster.grey().grey() == raster.grey())
        // What is grey already keeps its value, all 256 of them.
        let ramp = try #require(
            Raster(height: 1, width: 256, channels: .rgb, pixels: (0...255).flatMap { [UInt8]([$0, $0, $0]) }))
        #expect(ramp.grey().pixels == Array(0...255))
    }

    @Test(arguments: Raster.Channels.allCases)
    func aPNGGivesBackWhatWasWritten(channels: Raster.Channels) throws {
        let count = 37 * 53 * channels.count
        // No pattern that a row filter would find, in sizes that are no multiple of anything.
        let pixels = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* $0 &* 31 >> 3) }
        let raster = try #require(Raster(height: 37, width: 53, channels: channels, pixels: pixels))
        let file = try raster.png()
        #expect(try Raster(decoding: file, as: channels, maximumPixels: 37 * 53) == raster)
        #expect(try raster.png() == file, "the same pixels give the same file")
    }
}
