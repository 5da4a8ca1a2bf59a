import JSONRPC
import TestSupport
import Testing

/// Inputs and draws that no request may have: each is refused under the name of what is too much.
@Suite(.waiting) struct SizeLimitTests {
    private static let (pixels, queue) = (100, 10)

    private let oracle = Oracle.tiny(transformations: .everyStep)
    private let model: TemporaryModel
    private let client: LineSocket

    init() throws {
        model = try TemporaryModel(oracle, golden: 0)
        client = try ServerProcess(
            model: model.path, ["--max-pixels", "\(Self.pixels)", "--queue", "\(Self.queue)"]
        ).connect()
    }

    /// One grey patch of a shape, with further parameters.
    private func ask(_ method: String, _ height: Int, _ width: Int, _ parameters: String) throws -> TestReply {
        let patch = base64([UInt8](repeating: 99, count: height * width * 3))
        return try client.ask(
            #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{"patches":["\#(patch)"],"#
                + #""shape":[\#(height),\#(width),3]\#(parameters)}}"#)
    }

    private func isRefused(_ reply: TestReply, _ parameter: String, _ reason: String) -> Bool {
        reply.code == -32602 && reply.parameter == parameter && reply.message.contains(reason)
    }

    @Test func aShapeOfMorePixels() throws {
        for parameters in [#","pool":"max""#, #","transform":{"mode":"sample"}"#] {
            #expect(try ask("embed", 10, 10, parameters).embeddings.count == 1)
            let refused = try ask("embed", 10, 11, parameters)
            #expect(isRefused(refused, "shape", "more than \(Self.pixels) pixels"), "\(refused.line)")
        }
        #expect(try ask("classify", 10, 10, #","transform":{"mode":"sample"}"#).code == nil)
    }

    /// The head has a place for one patch.
    @Test func aLargerInputToClassify() throws {
        #expect(try ask("classify", 9, 8, "").code == nil)
        func askForFile(_ height: Int, _ width: Int) throws -> TestReply {
            let line = try oracle.fileLine(height, width).replacing(#","pool":"max""#, with: "")
            return try client.ask(line.replacing("embed", with: "classify"))
        }
        #expect(try askForFile(9, 8).code == nil)
        for (height, width) in [(9, 9), (10, 8), (10, 10)] {
            let refused = try ask("classify", height, width, "")
            #expect(isRefused(refused, "shape", "classify takes patches"), "\(refused.line)")
            let file = try askForFile(height, width)
            #expect(isRefused(file, "images", "classify takes patches"), "\(file.line)")
        }
    }

    /// As many as the queue holds, and one more, which is refused for itself and not for the patches.
    @Test(arguments: ["embed", "classify", "transform"]) func moreDrawsThanTheQueue(method: String) throws {
        let identity =
            #"{"translation":[0,0],"scale":1,"rotation_degrees":0,"contrast":[1,1,1],"#
            + #""color":{"power":[1,1],"factor":[1,1],"offset":[0,0]},"hue":0}"#
        func list(_ count: Int) -> String {
            #"{"parameters":[\#(Array(repeating: identity, count: count).joined(separator: ","))]}"#
        }
        for (name, options) in [
            ("samples", { #"{"mode":"mean","samples":\#($0)}"# }), ("parameters", list),
        ] as [(String, (Int) -> String)] {
            let most = try ask(method, 9, 8, #","transform":"# + options(Self.queue))
            #expect(most.code == nil, "\(most.line)")
            let refused = try ask(method, 9, 8, #","transform":"# + options(Self.queue + 1))
            #expect(isRefused(refused, "transform.\(name)", "--queue"), "\(refused.line)")
        }
    }
}
