import ExemplarNetwork
import JSONRPC
import TestSupport
import Testing
import Transformations

/// −32004: what a model lacks, asked for over the wire. Everything else of it is served.
@Suite(.waiting) struct NotSupportedTests {
    private static func oracle(_ name: String, channels: Int, head: Bool, _ ranges: TransformationRanges?) -> Oracle {
        var configuration = Oracle.tiny(name: name, transformations: ranges).configuration
        configuration.input.channels = channels
        configuration.preprocessing.mean = [Double](repeating: 0.4, count: channels)
        configuration.preprocessing.std = [Double](repeating: 0.3, count: channels)
        if !head {
            configuration.head = nil
            configuration.layers.removeLast()
        }
        return .random(configuration, seed: 8)
    }

    private static let geometry = TransformationRanges(
        translation: 0.2, scale: 0.8...1.2, rotationDegrees: 10, contrast: nil, color: nil, hue: nil, border: .reflect)

    private let oracles = [
        oracle("headless", channels: 3, head: false, .everyStep), oracle("still", channels: 3, head: true, nil),
        oracle("grey", channels: 1, head: true, geometry), oracle("five", channels: 5, head: true, geometry),
        oracle("flat", channels: 3, head: true, geometry),
    ]
    private let folder: ModelsFolder
    private let models: [TemporaryModel]
    private let client: LineSocket

    init() throws {
        models = try oracles.map { try TemporaryModel($0) }
        folder = try ModelsFolder(zip(oracles, models).map { ($0.configuration.name, $1) })
        client = try ServerProcess(["--models", folder.path]).connect()
    }

    /// Sends one patch of `model` with further parameters.
    private func ask(_ method: String, _ model: String, _ parameters: String = "") throws -> TestReply {
        let oracle = try #require(oracles.first { $0.configuration.name == model })
        return try client.ask(
            #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{"patches":["\#(base64(oracle.patch(1)))"],"#
                + #""model":"\#(model)"\#(parameters)}}"#)
    }

    private func isRefused(_ method: String, _ model: String, _ parameters: String = "") throws -> Bool {
        let reply = try ask(method, model, parameters)
        return reply.code == -32004 && reply.message.contains(model)
    }

    @Test func aModelWithoutAHeadDoesNotClassify() throws {
        #expect(try isRefused("classify", "headless"))
        #expect(try isRefused("classify", "headless", #","transform":{"mode":"sample"}"#))
        #expect(try ask("embed", "headless", #","transform":{"mode":"sample"}"#).embeddings.count == 1)
        #expect(try ask("classify", "still").code == nil)
    }

    @Test func aModelWithoutTransformationsDoesNotTransform() throws {
        let identity =
            #"{"translation":[0,0],"scale":1,"rotation_degrees":0,"contrast":[1,1,1],"#
            + #""color":{"power":[1,1],"factor":[1,1],"offset":[0,0]},"hue":0}"#
        for transform in [
            #"{"mode":"sample"}"#, #"{"mode":"sample","steps":[]}"#, #"{"mode":"mean","samples":3}"#,
            #"{"parameters":[\#(identity)]}"#,
        ] {
            for method in ["embed", "classify", "transform"] {
                #expect(try isRefused(method, "still", #","transform":\#(transform)"#), "\(method) \(transform)")
                #expect(try ask(method, "flat", #","transform":\#(transform)"#).code == nil, "\(method) \(transform)")
            }
        }
        #expect(try ask("embed", "still").embeddings.count == 1)
    }

    @Test func aGreyModelHasNoColors() throws {
        for steps in [
            #"["contrast"]"#, #"["color"]"#, #"["hue"]"#, #"["translation","hue"]"#,
            #"["contrast","color","hue"]"#, #"["translation","scale","rotation","color"]"#,
        ] {
            let transform = #","transform":{"mode":"sample","steps":\#(steps)}"#
            for method in ["embed", "classify", "transform"] {
                #expect(try isRefused(method, "grey", transform), "\(method) \(steps)")
                #expect(try isRefused(method, "five", transform), "\(method) \(steps)")
                #expect(try ask(method, "headless", transform).code == (method == "classify" ? -32004 : nil))
            }
        }
        for steps in ["", #","steps":[]"#, #","steps":["scale"]"#, #","steps":["translation","scale","rotation"]"#] {
            #expect(try ask("embed", "grey", #","transform":{"mode":"sample"\#(steps)}"#).code == nil, "\(steps)")
        }
    }

    /// The same of transformations that a client brings: colours on a grey model, a contrast without its components.
    @Test func colorsOfOnesOwn() throws {
        func transform(_ contrast: String = "[1,1,1]", _ offset: String = "[0,0]", _ hue: String = "0") -> String {
            #","transform":{"parameters":[{"translation":[0.1,0],"scale":1.1,"rotation_degrees":3,"#
                + #""contrast":\#(contrast),"color":{"power":[1,1],"factor":[1,1],"offset":\#(offset)},"#
                + #""hue":\#(hue)}]}"#
        }
        for method in ["embed", "transform"] {
            #expect(try ask(method, "grey", transform()).code == nil)
            #expect(try isRefused(method, "grey", transform("[1,2,1]")))
            #expect(try isRefused(method, "grey", transform("[1,1,1]", "[0.1,0]")))
            #expect(try isRefused(method, "grey", transform("[1,1,1]", "[0,0]", "0.5")))
            #expect(try isRefused(method, "flat", transform("[1,2,1]")))
            #expect(try ask(method, "flat", transform("[1,1,1]", "[0.1,0]", "0.5")).code == nil)
        }
    }

    @Test func imageFilesHaveNoFiveChannels() throws {
        let file = base64(try Oracle.tiny().file(1))
        let reply = try client.ask(
            #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"images":["\#(file)"],"model":"five"}}"#)
        #expect(reply.code == -32004 && reply.message.contains("five"), "\(reply.line)")
    }
}
