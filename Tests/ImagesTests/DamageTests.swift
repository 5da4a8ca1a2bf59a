import Glibc
import Images
import TestSupport
import Testing

/// Files that are cut short, damaged, or larger than they look.
@Suite struct DamageTests {
    static func files() throws -> [(ImageFormat, [UInt8])] {
        [
            (.png, try Fixture.raster.png()), (.jpeg, Fixture.baselineJPEG), (.jpeg, Fixture.progressiveJPEG),
            (.webp, Fixture.losslessWebP), (.webp, Fixture.lossyWebP),
        ]
    }

    static func decode(_ bytes: some Sequence<UInt8>, maximumPixels: Int = 1 << 16) throws(ImageError) -> Raster {
        try Raster(decoding: Array(bytes), as: .rgb, maximumPixels: maximumPixels)
    }

    /// A file that ends early is an error at every point where it can end: never half an image. What may be missing is
    /// what comes after the pixels: the checksum of a PNG's empty last chunk, the byte that makes a WebP's even.
    @Test func everyTruncation() throws {
        for (format, file) in try Self.files() {
            let whole = try Self.decode(file)
            for count in 0..<file.count {
                do throws(ImageError) {
                    let raster = try Self.decode(file.prefix(count))
                    let dispensable = [.png: 4, .webp: 1][format, default: 0]
                    #expect(raster == whole && file.count - count <= dispensable, "\(format) at \(count)")
                } catch ImageError.undecodable(let name, let reason) {
                    #expect(name == format && !reason.isEmpty)
                } catch {
                    #expect(error == .unknownFormat && count < 12, "\(format) at \(count): \(error)")
                }
            }
        }
    }

    /// Any byte wrong: an error or an image of no more pixels than allowed, never a crash.
    @Test func everyByteWrong() throws {
        var generator = SeededGenerator(seed: 5)
        for (format, file) in try Self.files() {
            for index in file.indices {
                for value in [file[index] ^ UInt8(1 << Int.random(in: 0..<8, using: &generator)), ~file[index]] {
                    var damaged = file
                    damaged[index] = value
                    guard let raster = try? Self.decode(damaged, maximumPixels: 4096) else { continue }
                    #expect(raster.height * raster.width <= 4096, "\(format), byte \(index) as \(value)")
                    #expect(raster.pixels.count == 3 * raster.height * raster.width)
                }
            }
        }
    }

    /// A wrong checksum is found, after the last row too.
    @Test func checksumsOfAPNG() throws {
        let file = try Fixture.raster.png()
        for index in 8..<file.count {
            var damaged = file
            damaged[index] ^= 1
            #expect(throws: ImageError.self, "byte \(index)") { try Self.decode(damaged) }
        }
    }

    /// The header alone says that an image is too large; the file holds nothing else.
    @Test func sizesAreCheckedBeforeAnythingIsDecoded() throws {
        func refusal(_ file: [UInt8]) -> ImageError? {
            #expect(throws: ImageError.self) { try Self.decode(file, maximumPixels: 1_000_000) }
        }
        let png = PNGBuilder(width: 30_000, height: 20_000)
        #expect(refusal(png.bytes) == .tooLarge(.png, width: 30_000, height: 20_000, maximumPixels: 1_000_000))
        #expect(
            refusal(png.bytes)?.description
                == "The PNG is 30000×20000 (width by height), more than the 1000000 pixels that are read: scale it "
                + "down or cut it into parts.")
        let widest = PNGBuilder(width: 0x7FFF_FFFF, height: 0x7FFF_FFFF)
        #expect(throws: ImageError.self) { try Self.decode(widest.bytes, maximumPixels: .max) }

        // The frame header: FF C0, two bytes of length, one of precision, then height and width.
        var jpeg = Fixture.baselineJPEG
        let frame = try #require(zip(jpeg, jpeg.dropFirst()).enumerated().first { $0.element == (0xFF, 0xC0) }?.offset)
        jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0xFF, 0x00, 0xFE, 0x00])
        #expect(refusal(jpeg) == .tooLarge(.jpeg, width: 0xFE00, height: 0xFF00, maximumPixels: 1_000_000))

        // The lossless bitstream begins with 14 bits of width - 1 and 14 of height - 1.
        var webp = Fixture.losslessWebP
        webp.replaceSubrange(21..<25, with: [0xFF, 0xFF, 0xFF, 0x0F])
        #expect(refusal(webp) == .tooLarge(.webp, width: 16_384, height: 16_384, maximumPixels: 1_000_000))
    }

    @Test func theLimitItselfIsAllowed() throws {
        let count = Fixture.height * Fixture.width
        for (format, file) in try Self.files() {
            #expect(try Self.decode(file, maximumPixels: count).height == Fixture.height)
            #expect(
                throws: ImageError.tooLarge(
                    format, width: Fixture.width, height: Fixture.height, maximumPixels: count - 1)
            ) { try Self.decode(file, maximumPixels: count - 1) }
        }
    }

    /// Each scan passes over the whole image for a few bytes, as often as the file has it.
    @Test func aProgressiveJPEGOfVeryManyScansIsRefused() throws {
        // The first scan, whose header of 14 bytes ends with Ah and Al: with all bits at once, 0 and 0, it is as sound
        // said again as before.
        var file = Fixture.progressiveJPEG
        let scans = file.indices.dropLast().filter { file[$0] == 0xFF && file[$0 + 1] == 0xDA }
        let start = try #require(scans.first)
        #expect(file[start + 13] == 0x01)
        file[start + 13] = 0
        let end = try #require(file.indices[(start + 14)...].first { file[$0] == 0xFF && file[$0 + 1] != 0 })
        func decode(scans: Int) throws(ImageError) -> Raster {
            try Self.decode(
                file[..<start] + Array(repeatElement(file[start..<end], count: scans).joined()) + [0xFF, 0xD9])
        }
        #expect(try decode(scans: 500) == decode(scans: 1))
        let error = #expect(throws: ImageError.self) { try decode(scans: 501) }
        #expect(error?.description.contains("more than 500 scans") == true, "\(String(describing: error))")
    }

    /// Megabytes that inflate to a gigabyte, as pixels beyond the image and as a text beside it.
    @Test func bombsTakeNoMemory() throws {
        let zeros = deflatedZeros(1 << 30)
        var pixels = PNGBuilder(width: 64, height: 64)
        pixels.append("IDAT", zeros)
        pixels.append("IEND", [])
        var text = PNGBuilder(width: 1, height: 1)
        text.append("zTXt", Array("Comment\0\0".utf8) + zeros)
        text.append("IDAT", stored([0, 1, 2, 3]))
        text.append("IEND", [])

        let before = peakBytes()
        _ = try? Self.decode(pixels.bytes)
        #expect(throws: ImageError.self) { try Self.decode(text.bytes) }
        #expect(peakBytes() - before < 256 << 20)
    }

    /// The most memory that the process has had.
    private func peakBytes() -> Int {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        return usage.ru_maxrss * 1024
    }
}
