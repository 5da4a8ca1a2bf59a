import ExemplarNetwork
import Glibc
import Images
import JSONRPC
import TestSupport
import Testing
import Transformations

/// Limits hold as they are told: not a byte more, and nothing refused that they do not speak of.
@Suite(.waiting) struct ExactLimitTests {
    private static let ranges = TransformationRanges(
        translation: 0.2, scale: 0.8...1.25, rotationDegrees: 20, contrast: nil, color: nil, hue: nil,
        border: .reflect)

    private static func replacing(_ old: String, _ new: String, in line: String) throws -> String {
        let place = try #require(line.firstRange(of: old))
        return line[..<place.lowerBound] + new + line[place.upperBound...]
    }

    /// Whatever the method, the number of patches and the length of the id: no reply is longer than
    /// `--max-reply-bytes`, and what would be is refused by that name.
    @Test func noReplyIsLongerThanItMayBe() throws {
        let oracle = Oracle.tiny(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let limit = 6000
        let server = try ServerProcess(model: model.path, ["--max-reply-bytes", "\(limit)"])
        let client = try server.connect()
        let calls = [
            ("embed", ""), ("embed", #","encoding":"float""#), ("embed", #","layers":["conv1","fc1"]"#),
            ("embed", #","transform":{"mode":"mean","samples":2,"seed":1,"standard_errors":true}"#),
            ("classify", ""), ("transform", #","transform":{"mode":"mean","samples":3,"seed":1}"#),
        ]
        for (method, parameters) in calls {
            var outcomes: Set<String> = []
            for count in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
                for length in [1, 500, 3000] {
                    let id = "\"" + String(repeating: "i", count: length) + "\""
                    let line = oracle.embedLine(id: id, Array(repeating: 1, count: count), parameters)
                    let reply = try client.ask(
                        Self.replacing(#""method":"embed""#, #""method":"\#(method)""#, in: line))
                    if reply.code == nil {
                        #expect(reply.line.utf8.count <= limit, "\(method) \(parameters), \(count) patches")
                        outcomes.insert("served")
                    } else {
                        #expect(reply.code == -32602 && reply.message.contains("--max-reply-bytes"), "\(reply.line)")
                        outcomes.insert("refused")
                    }
                }
            }
            #expect(outcomes == ["served", "refused"], "\(method) \(parameters)")
        }
    }

    /// Of an image that is a context the queue counts the draws, as of the same pixels in `patches`; of one over which
    /// the network runs, the area.
    @Test func imagesThatAreContexts() throws {
        let oracle = Oracle.tiny(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        // A context of 64 × 64 has the area of 57 patches.
        let server = try ServerProcess(model: model.path, ["--queue", "16"])
        let client = try server.connect()
        let file = try oracle.fileLine(64, 64)
        let pixels = oracle.imageLine(64, 64)
        let transform = #""transform":{"mode":"sample","seed":3}"#
        let asFile = try client.ask(Self.replacing(#""pool":"max""#, transform, in: file))
        let asPixels = try client.ask(Self.replacing(#""pool":"max""#, transform, in: pixels))
        #expect(asFile.embeddings.count == 1 && asFile.line == asPixels.line, "\(asFile.line)")
        for line in [file, pixels] {
            let refused = try client.ask(line)
            #expect(refused.code == -32602 && refused.message.contains("--queue"), "\(refused.line)")
        }
    }

    /// Each draw is the work of a patch: what is more of them than the queue holds could never be served, and is told
    /// so at once; an empty queue that they fill takes them.
    @Test(arguments: ["embed", "classify", "transform"]) func drawsCountAsPatches(method: String) throws {
        let oracle = Oracle.tiny(transformations: Self.ranges)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path, ["--queue", "64"])
        let client = try server.connect()
        let image = base64(try oracle.file(1))
        let transform = #","transform":{"mode":"mean","samples":32,"seed":1}"#
        // `transform` takes no images.
        for (name, entry) in [("patches", base64(oracle.patch(1))), ("images", image)]
        where method != "transform" || name == "patches" {
            for count in [2, 3] {
                let entries = Array(repeating: "\"\(entry)\"", count: count).joined(separator: ",")
                let reply = try client.ask(
                    #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{"\#(name)":[\#(entries)]\#(transform)}}"#)
                guard count * 32 > 64 else {
                    #expect(reply.code == nil, "\(reply.line)")
                    continue
                }
                #expect(reply.code == -32602 && reply.parameter == name, "\(reply.line)")
                #expect(reply.message.contains("the work of 96 patches"), "\(reply.message)")
            }
        }
    }

    /// A model without colours leaves the colour steps out where none are named, and refuses every one that is.
    @Test func colourStepsOfAGreyModel() throws {
        let oracle = Oracle.random(
            NetworkConfiguration(
                name: "grey.v1 (α)", input: .init(height: 8, width: 8, channels: 1),
                preprocessing: .init(scale: 1.0 / 255, mean: [0.4], std: [0.3]),
                layers: [LayerConfiguration(name: "fc", kind: .linear(outFeatures: 5, activation: .relu))],
                embedding: "fc", transformations: Self.ranges),
            seed: 8)
        let model = try TemporaryModel(oracle)
        let server = try ServerProcess(model: model.path)
        let client = try server.connect()
        func ask(_ steps: String) throws -> TestReply {
            try client.ask(oracle.embedLine([1], #","transform":{"mode":"sample","seed":1\#(steps)}"#))
        }
        let plain = try ask("")
        #expect(plain.embeddings.count == 1 && plain.result?["model"] == "grey.v1 (α)", "\(plain.line)")
        let moving = try ask(#","steps":["translation","scale","rotation"]"#)
        #expect(moving.line == plain.line)
        let all = #""translation","scale","rotation","contrast","color","hue""#
        for steps in [all, #""hue""#, #""translation","contrast""#] {
            #expect(try ask(#","steps":[\#(steps)]"#).code == -32004, "\(steps)")
        }
    }
}
