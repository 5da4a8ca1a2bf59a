import ExemplarNetwork
import JSONRPC
import TestSupport
import Testing
import Transformations

/// The method `transform`, and `steps` and `border` of every method: pixels and parameters in double precision.
@Suite(.waiting) struct TransformMethodTests {
    private static let oracle = Oracle.tiny(transformations: .everyStep)
    /// One of patch size, where borders come into view, and one with surroundings: an even number of rows and columns,
    /// or the identity would be half a pixel off the centre that all others are read around.
    private static let contexts = [
        OracleContext(oracle, height: 9, width: 8, seed: 60), OracleContext(oracle, height: 15, width: 14, seed: 61),
    ]
    private static let seed: UInt64 = 1 << 52 + 9

    let model: TemporaryModel
    let server: ServerProcess
    let client: LineSocket

    init() throws {
        model = try TemporaryModel(Self.oracle)
        server = try ServerProcess(model: model.path)
        client = try server.connect()
    }

    private func transform(_ contexts: [OracleContext], _ transform: String, id: String = "1") throws -> TestReply {
        try client.ask(OracleContext.line("transform", id: id, contexts, #""transform":{\#(transform)}"#))
    }

    /// The α of a reply.
    private static func parameters(_ reply: TestReply) throws -> [Transformation] {
        let parameters = try array(reply.result?["parameters"]).map { try Transformation($0) }
        guard !parameters.isEmpty else { throw TestFailure(reply.line) }
        return parameters
    }

    /// Whether the pixels of a reply are those of its α, rounded to bytes.
    private static func expectPixels(
        _ reply: TestReply, of contexts: [OracleContext], _ alphas: [Transformation],
        _ border: TransformationBorder = .reflect, location: SourceLocation = #_sourceLocation
    ) {
        let rows = array(reply.result?["patches"])
        #expect(rows.count == contexts.count, "\(reply.line)", sourceLocation: location)
        for (context, row) in zip(contexts, rows) {
            #expect(array(row).count == alphas.count, sourceLocation: location)
            for (alpha, text) in zip(alphas, array(row)) {
                let pixels = decoded(string(text) ?? "")
                let expected = context.patch(alpha, border)
                #expect(pixels.count == expected.count, sourceLocation: location)
                let worst = zip(pixels, expected).map { pixel, expected in
                    abs(Double(pixel) - 255 * expected.value) - 0.5 - 255 * expected.spread
                }.max()
                #expect((worst ?? 1) <= 0, "\(alpha)", sourceLocation: location)
            }
        }
    }

    @Test func patchesAreThoseOfTheParametersThatComeWithThem() throws {
        let ranges = try #require(Self.oracle.configuration.transformations)
        for context in Self.contexts {
            // Two inputs of one shape meet the same draws.
            let other = OracleContext(Self.oracle, height: context.height, width: context.width, seed: 62)
            let reply = try transform([context, other], #""mode":"mean","samples":9,"seed":\#(Self.seed)"#)
            #expect(reply.result?["seed"] == .int(Int(Self.seed)))
            let parameters = try Self.parameters(reply)
            #expect(parameters == (0..<9).map { ranges.draw(seed: Self.seed, $0) })
            Self.expectPixels(reply, of: [context, other], parameters)
            for index in [0, 3, 1 << 40] {
                let one = try transform([context], #""mode":"sample","seed":\#(Self.seed),"index":\#(index)"#)
                #expect(try Self.parameters(one) == [ranges.draw(seed: Self.seed, index)])
                Self.expectPixels(one, of: [context], try Self.parameters(one))
            }
        }
    }

    /// What came back can be sent: the same pixels, and no seed.
    @Test func parametersOfAReplyAreParametersOfARequest() throws {
        let context = Self.contexts[1]
        let drawn = try transform([context], #""mode":"mean","samples":4,"seed":3"#)
        let start = try #require(drawn.line.firstRange(of: #""parameters":"#)?.upperBound)
        let end = try #require(drawn.line.firstRange(of: #","seed":"#)?.lowerBound)
        let sent = try transform([context], #""parameters":\#(drawn.line[start..<end])"#)
        #expect(sent.result?["seed"] == .null, "\(sent.line)")
        #expect(sent.result?["patches"] == drawn.result?["patches"])
        #expect(sent.result?["parameters"] == drawn.result?["parameters"])
    }

    /// Only the steps named are taken, with the numbers that all of them would have had.
    @Test func stepsAreTakenAlone() throws {
        let all = try #require(try Self.parameters(transform([Self.contexts[0]], #""mode":"sample","seed":7"#)).first)
        let effects: [(name: String, take: (inout Transformation) -> Void)] = [
            ("translation", { ($0.translationX, $0.translationY) = (all.translationX, all.translationY) }),
            ("scale", { $0.scale = all.scale }), ("rotation", { $0.rotationDegrees = all.rotationDegrees }),
            ("contrast", { $0.contrast = all.contrast }),
            ("color", { ($0.power, $0.factor, $0.offset) = (all.power, all.factor, all.offset) }),
            ("hue", { $0.hue = all.hue }),
        ]
        // Each alone, and every second set of them.
        for set in Set([1, 2, 4, 8, 16, 32] + stride(from: 0, through: 63, by: 2)).sorted() {
            let chosen = effects.enumerated().filter { set >> $0.offset & 1 == 1 }.map(\.element)
            var expected = Transformation.identity
            for effect in chosen { effect.take(&expected) }
            let names = (chosen.map(\.name) + chosen.prefix(1).map(\.name)).reversed().map { "\"\($0)\"" }
            for context in Self.contexts {
                let reply = try transform(
                    [context], #""mode":"sample","seed":7,"steps":[\#(names.joined(separator: ","))]"#)
                #expect(try Self.parameters(reply) == [expected], "\(names)")
                Self.expectPixels(reply, of: [context], [expected])
            }
        }
    }

    @Test(arguments: TransformationBorder.allCases) func borders(_ border: TransformationBorder) throws {
        let ranges = try #require(Self.oracle.configuration.transformations)
        let context = Self.contexts[0]
        let options = #""border":"\#(border.rawValue)","seed":\#(Self.seed),"steps":["translation","scale","rotation"]"#
        let alphas = (0..<6).map { ranges.draw(seed: Self.seed, $0).restricted(to: .geometry) }
        let reply = try transform([context], #""mode":"mean","samples":6,"# + options)
        #expect(try Self.parameters(reply) == alphas)
        Self.expectPixels(reply, of: [context], alphas, border)
        for other in TransformationBorder.allCases where other != border {
            let patch = zip(context.patch(alphas[0], border), context.patch(alphas[0], other))
            #expect(patch.contains { abs($0.value - $1.value) > 0.1 }, "the border must come into view")
        }
        // The network sees the same, drawn or given.
        let rows = alphas.map { context.outputs($0, border)["fc1"]?.values ?? [] }
        let drawn = try client.ask(
            OracleContext.line("embed", [context], #""transform":{"mode":"mean","samples":6,\#(options)}"#))
        let row = try #require(drawn.embeddings.first.flatMap(string).map(floats), "\(drawn.line)")
        #expect(relativeRMS(row, mean(rows)) < 1e-3)
        let start = try #require(reply.line.firstRange(of: #""parameters":"#)?.upperBound)
        let end = try #require(reply.line.firstRange(of: #","seed":"#)?.lowerBound)
        let given = try client.ask(
            OracleContext.line(
                "embed", [context],
                #""transform":{"parameters":\#(reply.line[start..<end]),"border":"\#(border.rawValue)"}"#))
        #expect(given.embeddings == drawn.embeddings, "\(given.line)")
    }

    /// Without `border` it is reflected.
    @Test func theDefaultBorder() throws {
        let options = #""mode":"mean","samples":3,"seed":4"#
        let reply = try transform([Self.contexts[0]], options)
        #expect(reply.result?["patches"] != nil)
        #expect(try transform([Self.contexts[0]], options + #","border":"reflect""#).line == reply.line)
        #expect(try transform([Self.contexts[0]], options + #","border":"zero""#).line != reply.line)
    }

    /// A seed that the server draws is said, is another each time, and gives the same bytes when it is sent, while
    /// others keep the server busy with patches and draws of their own. Batches of three, so that one mean's draws are
    /// computed by several threads, in whatever order these get to them.
    @Test func theSeedOfAReplyGivesTheSameBytesUnderLoad() throws {
        let server = try ServerProcess(
            model: model.path, ["--max-batch", "3", "--brief-batch", "0"], threads: 3)
        let client = try server.connect()
        func line(_ method: String, _ seed: String) -> String {
            OracleContext.line(
                method, [Self.contexts[1]], #""transform":{"mode":"mean","samples":20\#(seed)}"#)
        }
        let methods = ["transform", "embed", "classify"]
        var seeds: Set<Int> = []
        var first: [(line: String, method: String, seed: Int)] = []
        for method in methods {
            for _ in 0..<3 {
                let reply = try client.ask(line(method, ""))
                let member = method == "transform" ? reply.result : reply.result?["transform"]
                let seed = try #require(int(member?["seed"]), "\(reply.line)")
                #expect((0..<1 << 53).contains(seed))
                seeds.insert(seed)
                first.append((reply.line, method, seed))
            }
        }
        #expect(seeds.count == first.count)

        let count = 40
        let others = try (0..<3).map { _ in try server.connect() }
        let writers = others.enumerated().map { number, other in
            LineWriter(
                other,
                (0..<count).map { round in
                    let samples = 1 + (round + number) % 9
                    return OracleContext.line(
                        round % 3 == 0 ? "transform" : "embed", id: "\(round)", Self.contexts.suffix(1 + number % 2),
                        #""transform":{"mode":"mean","samples":\#(samples),"seed":\#(number)}"#)
                })
        }
        for _ in 0..<3 {
            for (answer, method, seed) in first {
                #expect(try client.ask(line(method, #","seed":\#(seed)"#)).line == answer, "\(method), seed \(seed)")
            }
        }
        for (other, writer) in zip(others, writers) {
            for _ in 0..<count { _ = try other.reply() }
            writer.join()
        }
    }
}
