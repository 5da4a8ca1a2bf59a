import Batching
import ExemplarNetwork
import Glibc
import JSONRPC
import TestSupport
import Testing
import Transformations

@testable import ExemplarServer

/// Replies as tasks write them, without a server: their text, and that what was reserved for them holds them.
@Suite struct ReplyTests {
    private let oracle = Oracle.tiny(
        transformations: TransformationRanges(
            translation: 0.1, scale: 0.9...1.1, rotationDegrees: 10, contrast: nil, color: nil, hue: nil,
            border: .reflect))
    private let model: TemporaryModel
    private let memory = MemoryBudget(chosen: nil)

    init() throws {
        model = try TemporaryModel(oracle)
        // JSON escapes each of these in a way of its own.
        try model.write("labels.txt", Array("a \"b\" \\ \t\n\u{1}\u{2}žába\n\n".utf8))
    }

    private func served() throws -> ServedModel {
        try ServedModel(
            folder: model.path, options: ModelOptions(), threads: 1, maxBatch: 1,
            memory: ModelMemory(budget: memory, passes: ImagePasses(budget: memory) {}))
    }

    private func task(_ line: String) throws -> InferenceTask {
        let served = try served()
        let handler = RequestHandler(
            configuration: ServerConfiguration(models: .single(model.path)), threads: 1, memory: memory,
            refusal: { _, _, _ in nil }, token: nil)
        var parser = RequestParser()
        return try Array(line.utf8).withUnsafeBytes { bytes in
            guard case .single(let incoming) = parser.parse(bytes) else { throw TestFailure("a batch: \(line)") }
            let outcome = handler.outcome(
                of: try incoming.request.get(), models: ModelSet(models: ["tiny": served], defaultName: "tiny"),
                isDraining: false, readiness: { .ready }, isAuthorized: true,
                address: ReplyAddress(
                    loop: 0, connection: ConnectionID(1), id: incoming.id ?? .null, batch: nil),
                arrival: .now, statistics: { ByteBuffer() })
            guard case .work(let task, _) = outcome else { throw TestFailure("\(outcome): \(line)") }
            return task
        }
    }

    /// A row of numbers of many digits, and of NaN.
    private func row(_ count: Int, _ index: Int) -> [Float] {
        (0..<count).map { $0 == 2 && index == 1 ? .nan : -1.1754942e-37 * Float($0) + Float(index) / 3 }
    }

    private func reply(of task: InferenceTask) -> (text: String, capacity: Int) {
        for unit in 0..<task.unitCount {
            if case .pixels = task.answer {
                task.transform(unit: unit)
            } else {
                row(task.dimension, unit).withUnsafeBufferPointer { task.take($0, ofUnit: unit) }
            }
        }
        let reply = task.reply().reply
        return (reply.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }, reply.capacity)
    }

    private func line(_ method: String, _ count: Int, _ parameters: String) -> String {
        let patches = (0..<count).map { "\"\(base64(oracle.patch(UInt64($0))))\"" }.joined(separator: ",")
        return #"{"jsonrpc":"2.0","id":"é","method":"\#(method)","params":{"patches":[\#(patches)]\#(parameters)}}"#
    }

    /// Who divides patches into requests learns how long a reply may get.
    @Test func theLongestLabelIsTold() throws {
        let description = try served().description.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        let longest = #""\u0001\u0002žába""#.utf8.count
        #expect(description.contains(#""label_bytes":\#(longest)"#), "\(description)")
    }

    @Test func classes() throws {
        for (top, count) in [(1, 1), (2, 3), (99, 40)] {
            let task = try task(line("classify", count, #","top":\#(top)"#))
            let (text, capacity) = reply(of: task)
            let rows = (0..<count).map { index -> JSONValue in
                let posterior = row(3, index).withUnsafeBufferPointer { Posterior(logits: $0, count: top) }
                let labels = ["a \"b\" \\ \t", "\u{1}\u{2}žába", ""]
                return .array(
                    posterior.entries.map { entry in
                        [
                            "index": .int(entry.index), "probability": .double(entry.probability),
                            "log_probability": .double(entry.logProbability), "label": .string(labels[entry.index]),
                        ]
                    })
            }
            var expected = ByteBuffer()
            expected.append(json: ["model": "tiny", "classes": .array(rows)])
            let result = expected.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            #expect(text == #"{"jsonrpc":"2.0","id":"é","result":"# + result + "}\n")
            #expect(capacity == task.replyByteCount, "written into what was reserved, and nothing else")
        }
    }

    /// Every method's reply fits what was reserved for it.
    @Test func reserved() throws {
        let mean = #","transform":{"mode":"mean","samples":9,"seed":9007199254740991,"standard_errors":true}"#
        let sample = #","transform":{"mode":"sample","seed":1}"#
        for (method, count, parameters) in [
            ("embed", 5, #","layers":"all""#), ("embed", 5, #","encoding":"float","layers":"all""#),
            ("embed", 3, mean), ("embed", 3, mean + #","encoding":"float""#), ("embed", 9, sample),
            ("classify", 7, mean), ("classify", 7, sample), ("transform", 4, mean), ("transform", 1, sample),
        ] {
            let task = try task(line(method, count, parameters))
            let (text, capacity) = reply(of: task)
            #expect(capacity == task.replyByteCount, "\(method)\(parameters)")
            #expect(text.utf8.count <= task.replyByteCount && memory.holdings.requests > task.replyByteCount)
            #expect(try TestReply(text).result != nil, "\(text)")
        }
        #expect(memory.holdings.requests == 0)
    }
}
