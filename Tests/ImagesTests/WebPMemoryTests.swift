import Testing

@testable import Images

/// What decoding a WebP takes: the tables of its prefix codes may be hundreds of times as large as its pixels.
@Suite struct WebPMemoryTests {
    private func decodingByteCount(_ file: [UInt8]) throws -> Int {
        try ImageHeader(of: file, maximumPixels: 1 << 20).decodingByteCount(as: .rgb)
    }

    /// One symbol a code, five codes a group: libwebp makes 256 entries of 4 bytes of each.
    @Test(arguments: [(2, 11, false), (2, 0, true), (3, 5, true), (6, 11, false)])
    func everyGroupHasItsTables(blockBits: Int, cacheBits: Int, transform: Bool) throws {
        let side = 256
        let file = WebPBuilder(side: side, blockBits: blockBits, cacheBits: cacheBits, transform: transform).bytes
        let raster = try Raster(decoding: file, as: .rgb, maximumPixels: side * side)
        #expect(raster.pixels == [UInt8](repeating: 0, count: side * side * 3))
        let groups = (side >> blockBits) * (side >> blockBits)
        let least = groups * 5 * 256 * 4
        let counted = try decodingByteCount(file)
        #expect(counted >= side * side * 7 + least)
        // And no more than what all of its bytes could pay for, or the largest tables.
        let most = max(1000, groups) * 4 * (3000 + 1 << cacheBits) + side * side * 9 + 1 << 20
        #expect(counted <= min(most, 2280 * file.count + side * side * 9 + 1 << 20))
    }

    /// The file that a review found: 295 kB, 360 MB of tables.
    @Test func aSmallFileOfManyGroups() throws {
        let file = WebPBuilder(side: 1024, blockBits: 2, cacheBits: 11).bytes
        #expect(file.count < 300_000)
        #expect(try decodingByteCount(file) > (1 << 16) * 5 * 256 * 4)
    }

    /// What libwebp itself writes is read as far as the number of its groups, here one: one's tables are counted.
    @Test(arguments: [
        Fixture.losslessWebP, Fixture.transparentWebP, Fixture.gradientWebP, Fixture.paletteWebP, Fixture.alphaWebP,
        Fixture.lossyWebP,
    ])
    func ordinaryFilesTakeLittle(file: [UInt8]) throws {
        let header = try ImageHeader(of: file, maximumPixels: 1000)
        let area = header.height * header.width
        #expect(header.decodingByteCount(as: .rgb) >= 7 * area)
        #expect(header.decodingByteCount(as: .rgb) <= 9 * area + 68 * header.width + 24 << 10)
        #expect(header.decodingByteCount(as: .grey) == header.decodingByteCount(as: .rgb) + area)
    }

    /// An alpha that nobody reads costs nothing, however many there are: libwebp takes the last before the image. A
    /// table of predictors for each block whose codes take no bits is not walked through: 20,000 alphas of it would
    /// take minutes.
    @Test func ofManyAlphasTheLastCounts() throws {
        func chunk(_ tag: String, _ data: [UInt8]) -> [UInt8] {
            Array(tag.utf8) + (0..<4).map { UInt8(truncatingIfNeeded: data.count >> (8 * $0)) } + data
                + [UInt8](repeating: 0, count: data.count & 1)
        }
        func file(_ chunks: [UInt8]) -> [UInt8] {
            let body = Array("WEBP".utf8) + chunk("VP8X", [0x10, 0, 0, 0, 0xFF, 3, 0, 0xFF, 3, 0]) + chunks
            return Array("RIFF".utf8) + (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (8 * $0)) } + body
        }
        // Behind the signature and the size of a VP8L its bits are those of an alpha.
        func alpha(blockBits: Int, transformBits: Int = 9) -> [UInt8] {
            let lossless = WebPBuilder(
                side: 1024, blockBits: blockBits, cacheBits: 0, transform: true, transformBits: transformBits)
            return chunk("ALPH", [1] + lossless.bytes[25...])
        }
        let (large, small) = (alpha(blockBits: 2), alpha(blockBits: 9))
        let plain = try decodingByteCount(file(small))
        #expect(try decodingByteCount(file(large)) > plain + (1 << 16) * 5 * 256 * 4)
        #expect(try decodingByteCount(file(large + small)) <= plain + 2280 * large.count)
        #expect(try decodingByteCount(file(small + large)) > plain + (1 << 16) * 5 * 256 * 4)
        let raw = chunk("ALPH", [0, 1, 2, 3])
        #expect(try decodingByteCount(file(large + raw)) < plain)
        let dear = alpha(blockBits: 9, transformBits: 2)
        let many = file((0..<20_000).flatMap { _ in dear })
        #expect(try decodingByteCount(many) <= plain + 2280 * many.count)
    }

    /// Where the number of groups cannot be read, it may be any.
    @Test func aStreamThatEndsEarlyCountsAsTheWorst() throws {
        let file = WebPBuilder(side: 1024, blockBits: 9, cacheBits: 0, transform: true).bytes
        let whole = try decodingByteCount(file)
        let codes = WebPPrefixCodes(width: 1024, height: 1024, stream: UnsafeRawBufferPointer(start: nil, count: 0))
        #expect(codes.groupCount == 1 << 16)
        #expect(codes.byteCount(fileByteCount: 1 << 30) > 1 << 30)
        #expect(whole < 1024 * 1024 * 10)
    }
}
