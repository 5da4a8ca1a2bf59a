import ExemplarNetwork
import Images
import JSONRPC
import TestSupport
import Testing

extension Oracle {
    /// The patch of `seed` as a PNG.
    func file(_ seed: UInt64) throws -> [UInt8] {
        let input = configuration.input
        return try png(patch(seed), height: input.height, width: input.width)
    }
}

/// Pixels as a PNG: grey or RGB, by their number.
private func png(_ pixels: [UInt8], height: Int, width: Int) throws -> [UInt8] {
    let channels: Raster.Channels = pixels.count == height * width ? .grey : .rgb
    guard let image = Raster(height: height, width: width, channels: channels, pixels: pixels) else {
        throw TestFailure("no image of \(height) × \(width)")
    }
    return try image.png()
}

/// `images`: what is no image for this model is −32006 with the entry named; what is one says the same as its pixels.
@Suite(.waiting) struct ImageEntriesTests {
    private let oracle = Oracle.tiny(transformations: .everyStep)
    private let model: TemporaryModel
    private let client: LineSocket

    init() throws {
        model = try TemporaryModel(oracle)
        client = try ServerProcess(model: model.path, ["--max-pixels", "1000"]).connect()
    }

    private func ask(_ files: [[UInt8]], _ parameters: String = "") throws -> TestReply {
        let images = files.map { "\"\(base64($0))\"" }.joined(separator: ",")
        return try client.ask(
            #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"images":[\#(images)]\#(parameters)}}"#)
    }

    private static func noise(height: Int, width: Int, channels: Int = 3) -> [UInt8] {
        var random = SeededGenerator(seed: UInt64(height * 1000 + width))
        return (0..<height * width * channels).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    @Test func badImagesAreNamedByTheirEntry() throws {
        let good = try oracle.file(1)
        var damaged = good
        damaged[good.count / 2] ^= 0x20
        let cases: [(what: String, file: [UInt8], words: String)] = [
            ("a row too few", try png(Self.noise(height: 8, width: 8), height: 8, width: 8), "smaller than the patch"),
            (
                "a column too few", try png(Self.noise(height: 9, width: 7), height: 9, width: 7),
                "smaller than the patch"
            ),
            ("a pixel", try png([1, 2, 3], height: 1, width: 1), "smaller than the patch"),
            ("text", Array("GIF89a and more".utf8), "none of PNG, JPEG and WebP"),
            ("a signature alone", Array(good.prefix(8)), "cannot be decoded"),
            ("cut short", Array(good.prefix(good.count / 2)), "cannot be decoded"),
            ("a flipped bit", damaged, "cannot be decoded"),
            (
                "over --max-pixels", try png(Self.noise(height: 7 * 11, width: 13), height: 77, width: 13),
                "more than the 1000 pixels"
            ),
        ]
        for (what, file, words) in cases {
            for (entry, files) in [(0, [file]), (1, [good, file]), (2, [good, good, file, good])] {
                // The larger would be refused for having no pooling, were it not for its size.
                let reply = try ask(files, #","pool":"max""#)
                #expect(reply.code == -32006, "\(what): \(reply.line)")
                #expect(reply.message.contains("Entry \(entry) of `images`"), "\(what): \(reply.message)")
                #expect(reply.message.contains(words), "\(what): \(reply.message)")
                #expect(reply.data?["index"] == .int(entry), "\(what): \(reply.line)")
            }
        }
        // The limits themselves are in.
        let files = [good, try png(Self.noise(height: 50, width: 20), height: 50, width: 20)]
        #expect(try ask(files, #","pool":"max""#).embeddings.count == 2)
    }

    @Test func aPNGSaysTheSameAsItsPixels() throws {
        let patches = try client.ask(oracle.embedLine([1, 2, 3], #","layers":"all""#))
        #expect(patches.embeddings.count == 3)
        #expect(try ask([1, 2, 3].map { try oracle.file($0) }, #","layers":"all""#).line == patches.line)
        // Of a context, and of an image over which the network runs.
        for parameters in [#","transform":{"mode":"mean","samples":3,"seed":5}"#, #","pool":"quadrant""#] {
            let context = OracleContext(oracle, height: 21, width: 30, seed: 9)
            let raw = try client.ask(OracleContext.line("embed", [context], String(parameters.dropFirst())))
            #expect(raw.embeddings.count == 1, "\(raw.line)")
            #expect(try ask([png(context.pixels, height: 21, width: 30)], parameters).line == raw.line)
        }
        // Images of two sizes in one request, in their order.
        let context = OracleContext(oracle, height: 12, width: 11, seed: 10)
        let alone = try client.ask(OracleContext.line("embed", [context], #""pool":"mean""#)).embeddings
        let patch = try client.ask(oracle.embedLine([4], #","pool":"mean""#)).embeddings
        let both = try ask([png(context.pixels, height: 12, width: 11), oracle.file(4)], #","pool":"mean""#)
        #expect(both.embeddings == alone + patch, "\(both.line)")
    }

    /// A grey file on a model of colours has three equal channels.
    @Test func aGreyPNGSaysTheSameAsThreeEqualChannels() throws {
        let grey = Self.noise(height: 9, width: 8, channels: 1)
        let pixels = base64(grey.flatMap { [$0, $0, $0] })
        let raw = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"patches":["\#(pixels)"]}}"#)
        #expect(raw.embeddings.count == 1)
        #expect(try ask([png(grey, height: 9, width: 8)]).line == raw.line)
    }
}
