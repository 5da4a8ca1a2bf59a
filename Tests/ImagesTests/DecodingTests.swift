import Images
import Testing

@Suite struct DecodingTests {
    /// The greatest difference between what a file decodes to and what it was made from.
    static func error(_ file: [UInt8], as channels: Raster.Channels = .rgb, from pixels: [UInt8]) throws -> Int {
        let raster = try Raster(decoding: file, as: channels, maximumPixels: Fixture.height * Fixture.width)
        #expect((raster.height, raster.width, raster.channels) == (Fixture.height, Fixture.width, channels))
        return zip(raster.pixels, pixels).map { abs(Int($0) - Int($1)) }.max() ?? 0
    }

    static let redAlone = Fixture.raster.pixels.enumerated().filter { $0.offset % 3 == 0 }.map(\.element)

    @Test func losslessFilesAreExact() throws {
        for file in [try Fixture.raster.png(), Fixture.losslessWebP, Fixture.transparentWebP] {
            #expect(try Self.error(file, from: Fixture.pixels) == 0)
            #expect(try Self.error(file, as: .grey, from: Fixture.raster.grey().pixels) == 0)
        }
    }

    /// JPEG at quality 98 without chroma subsampling: within 5 of 255; neighbours differ by 20 and more. WebP halves
    /// the resolution of colours whatever the quality: within 14.
    @Test func lossyFilesAreNear() throws {
        for file in [Fixture.baselineJPEG, Fixture.progressiveJPEG] {
            #expect(try Self.error(file, from: Fixture.pixels) <= 5)
            #expect(try Self.error(file, as: .grey, from: Fixture.raster.grey().pixels) <= 3)
        }
        #expect(try Self.error(Fixture.lossyWebP, from: Fixture.pixels) <= 14)
        #expect(try Self.error(Fixture.greyJPEG, as: .grey, from: Self.redAlone) <= 2)
        #expect(try Self.error(Fixture.greyJPEG, from: Self.redAlone.flatMap { [$0, $0, $0] }) <= 2)
    }

    @Test func anOrientationIsNotApplied() throws {
        #expect(
            try Raster(decoding: Fixture.rotatedJPEG, as: .rgb, maximumPixels: 100)
                == Raster(decoding: Fixture.baselineJPEG, as: .rgb, maximumPixels: 100))
    }

    /// Two pixels in every type of PNG: what the file says, in 8 bits, whatever alpha and gamma say.
    @Test func everyTypeOfPNG() throws {
        let palette: [(String, [UInt8])] = [("PLTE", [9, 8, 7, 200, 100, 50]), ("tRNS", [0, 128])]
        let gamma: [(String, [UInt8])] = [("gAMA", bigEndian(100_000))]
        let files: [(PNGBuilder, [UInt8])] = [
            (.init(width: 2, colourType: 0, before: gamma, rows: [[3, 250]]), [3, 3, 3, 250, 250, 250]),
            (.init(width: 2, bitDepth: 1, colourType: 0, rows: [[0b0100_0000]]), [0, 0, 0, 255, 255, 255]),
            (.init(width: 2, bitDepth: 2, colourType: 0, rows: [[0b0110_0000]]), [85, 85, 85, 170, 170, 170]),
            (.init(width: 2, bitDepth: 4, colourType: 0, rows: [[0x1E]]), [17, 17, 17, 238, 238, 238]),
            (.init(width: 2, bitDepth: 16, colourType: 0, rows: [[7, 255, 8, 0]]), [7, 7, 7, 8, 8, 8]),
            (.init(width: 2, colourType: 2, before: gamma, rows: [[1, 2, 3, 4, 5, 6]]), [1, 2, 3, 4, 5, 6]),
            (
                .init(width: 1, bitDepth: 16, colourType: 2, rows: [[1, 255, 2, 128, 3, 0], [4, 0, 5, 0, 6, 0]]),
                [1, 2, 3, 4, 5, 6]
            ),
            (.init(width: 2, colourType: 3, before: palette, rows: [[1, 0]]), [200, 100, 50, 9, 8, 7]),
            (
                .init(width: 2, bitDepth: 1, colourType: 3, before: palette, rows: [[0b1000_0000]]),
                [200, 100, 50, 9, 8, 7]
            ),
            (.init(width: 2, colourType: 4, rows: [[30, 0, 40, 255]]), [30, 30, 30, 40, 40, 40]),
            (
                .init(width: 2, bitDepth: 16, colourType: 4, rows: [[30, 255, 0, 0, 40, 0, 9, 9]]),
                [30, 30, 30, 40, 40, 40]
            ),
            (.init(width: 2, colourType: 6, rows: [[1, 2, 3, 0, 4, 5, 6, 128]]), [1, 2, 3, 4, 5, 6]),
            (
                .init(
                    width: 1, bitDepth: 16, colourType: 6,
                    rows: [[1, 0, 2, 0, 3, 0, 0, 0], [4, 99, 5, 99, 6, 99, 128, 0]]),
                [1, 2, 3, 4, 5, 6]
            ),
        ]
        for (file, pixels) in files {
            #expect(try Raster(decoding: file.bytes, as: .rgb, maximumPixels: 2).pixels == pixels)
        }
    }

    /// The header alone says what decoding takes: nothing behind it need be there.
    @Test func aHeaderTellsSizesAndMemory() throws {
        let area = Fixture.height * Fixture.width
        // Two rows and one of a PNG; coefficients of a JPEG whose sides are less than 32.
        #expect(max(Fixture.height, Fixture.width) <= 32)
        let files: [(ImageFormat, [UInt8], Int)] = [
            (.png, try Fixture.raster.png(), 19 * Fixture.width), (.jpeg, Fixture.progressiveJPEG, 32 * 32 * 6),
        ]
        for (format, file, working) in files {
            let header = try ImageHeader(of: file, maximumPixels: area)
            #expect((header.format, header.height, header.width) == (format, Fixture.height, Fixture.width))
            #expect(header.decodingByteCount(as: .rgb) == area * 3 + working)
            #expect(header.decodingByteCount(as: .grey) == area * 4 + working)
            #expect(throws: ImageError.self) { try ImageHeader(of: file, maximumPixels: area - 1) }
        }
        let headerAlone = PNGBuilder(width: 30_000, height: 20_000)
        let header = try ImageHeader(of: headerAlone.bytes, maximumPixels: .max)
        #expect(header.decodingByteCount(as: .rgb) == 30_000 * (20_000 * 3 + 19))
        #expect(throws: ImageError.unknownFormat) { try ImageHeader(of: [1, 2, 3], maximumPixels: .max) }
    }

    @Test func aFormatIsKnownByItsFirstBytes() throws {
        func format(_ bytes: [UInt8]) -> ImageFormat? { bytes.withUnsafeBytes { ImageFormat(signatureOf: $0) } }
        #expect(format(try Fixture.raster.png()) == .png)
        #expect(format(Fixture.baselineJPEG) == .jpeg)
        #expect(format(Fixture.lossyWebP) == .webp)
        for bytes in [[], [0x89], Array("RIFF\0\0\0\0WAVE".utf8), Array("GIF89a".utf8), [0xFF, 0xD8], [0, 0, 0, 0]] {
            #expect(format(bytes) == nil)
            #expect(throws: ImageError.unknownFormat) { try Raster(decoding: bytes, as: .rgb, maximumPixels: 1) }
        }
    }

    @Test func whatIsNotReadIsSaid() throws {
        let cmyk = #expect(throws: ImageError.self) {
            try Raster(decoding: Fixture.cmykJPEG, as: .rgb, maximumPixels: 100)
        }
        #expect(cmyk?.description == "The JPEG is in CMYK, for printing: convert it to RGB.")
        // The code of the frame's header alone says it.
        for code: UInt8 in [0xC9, 0xCA] {
            var arithmetic = Fixture.progressiveJPEG
            let frame = try #require(
                arithmetic.indices.dropLast().first { arithmetic[$0] == 0xFF && arithmetic[$0 + 1] == 0xC2 })
            arithmetic[frame + 1] = code
            let error = #expect(throws: ImageError.self) { try ImageHeader(of: arithmetic, maximumPixels: 1000) }
            #expect(error?.description == "The JPEG is arithmetic-coded: save it Huffman-coded, as nearly all are.")
        }
        // Behind the mark of the frame header: length, precision, sides, three components; then the first one's own.
        var unusual = Fixture.baselineJPEG
        let header = try #require(unusual.indices.dropLast().first { unusual[$0] == 0xFF && unusual[$0 + 1] == 0xC0 })
        unusual[header + 11] = 0x31
        let subsampling = #expect(throws: ImageError.self) {
            try Raster(decoding: unusual, as: .rgb, maximumPixels: 1000)
        }
        #expect(
            subsampling?.description
                == "The JPEG is of an unusual chroma subsampling: save it in 4:4:4 or 4:2:0.")
        let animated = #expect(throws: ImageError.self) {
            try Raster(decoding: Fixture.animatedWebP, as: .rgb, maximumPixels: 100)
        }
        #expect(
            animated?.description
                == "The WebP is animated: save the frame that is meant as an image of its own.")
    }
}
