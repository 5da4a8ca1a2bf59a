import JSONRPC
import TestSupport
import Testing

/// The method `embed`: its answers against the oracle and against each other, and each way to ask wrongly.
@Suite(.waiting) struct EmbedTests {
    let oracle = Oracle.tiny()
    let model: TemporaryModel
    let server: ServerProcess
    let client: LineSocket

    init() throws {
        model = try TemporaryModel(oracle)
        server = try ServerProcess(model: model.path, ["--queue", "64", "--max-reply-bytes", "20000"])
        client = try server.connect()
    }

    func vectors(_ line: String) throws -> [[Float]] {
        try client.ask(line).embeddings.compactMap { string($0).map(floats) }
    }

    /// Float32 sums of at most a hundred terms against doubles.
    static let tolerance = 1e-5

    func distance(_ values: [Float], _ reference: [Double]) -> Double {
        guard values.count == reference.count else { return .infinity }
        let square = zip(values, reference).reduce(0.0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
        return (square / reference.reduce(1e-30) { $0 + $1 * $1 }).squareRoot()
    }

    @Test func layersAgainstTheOracle() throws {
        let outputs = oracle.outputs(for: oracle.patch(1).map(Double.init))
        for (layers, names) in [
            ("", ["fc1"]), (#","layers":["logits"]"#, ["logits"]), (#","layers":"all""#, ["conv1", "fc1"]),
            (#","layers":["fc1","conv1","fc1"]"#, ["conv1", "fc1"]),
        ] {
            let reply = try client.ask(oracle.embedLine([1], layers))
            let reference = names.flatMap { outputs[$0]?.values ?? [] }
            #expect(reply.result?["layers"] == .array(names.map(JSONValue.string)))
            #expect(reply.result?["dim"] == .int(reference.count))
            #expect(reply.result?["model"] == "tiny")
            let values = try #require(reply.embeddings.first.flatMap(string).map(floats))
            #expect(distance(values, reference) < Self.tolerance, "\(names)")
        }
    }

    @Test func theSamePatchGivesTheSameBitsHoweverItIsAsked() throws {
        let seeds = Array(UInt64(0)..<48)
        let alone = try seeds.map { try #require(try vectors(oracle.embedLine([$0])).first).map(\.bitPattern) }
        let together = try vectors(oracle.embedLine(seeds)).map { $0.map(\.bitPattern) }
        #expect(together == alone)
        let backwards = try vectors(oracle.embedLine(seeds.reversed())).map { $0.map(\.bitPattern) }
        #expect(backwards == alone.reversed())
        // And from four connections at a time, in different orders and sizes.
        let others = try (0..<4).map { _ in try server.connect() }
        for (index, other) in others.enumerated() {
            for start in stride(from: 0, to: 48, by: index + 1) {
                let part = Array(seeds[start..<min(start + index + 1, 48)])
                try other.send(line: oracle.embedLine(id: "\(start)", part))
            }
        }
        for (index, other) in others.enumerated() {
            for _ in stride(from: 0, to: 48, by: index + 1) {
                let reply = try other.reply()
                let start = try #require(int(reply.id))
                for (offset, row) in reply.embeddings.compactMap(string).map(floats).enumerated() {
                    #expect(row.map(\.bitPattern) == alone[start + offset])
                }
            }
        }
        // Values that stand for the same pixels.
        let unit = oracle.patch(3).map { Float($0) / 255 }
        let line = #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"dtype":"f32","patches":["\#(base64(unit))"]}}"#
        let row = try #require(try vectors(line).first)
        #expect(distance(row, alone[3].map { Double(Float(bitPattern: $0)) }) < Self.tolerance)
    }

    @Test func numbersParseBackToTheSameBits() throws {
        let layers = #","layers":"all""#
        let exact = try vectors(oracle.embedLine([9], layers)).flatMap { $0.map(\.bitPattern) }
        let reply = try client.ask(oracle.embedLine([9], layers + #","encoding":"float""#))
        #expect(reply.result?["encoding"] == "float")
        guard case .array(let numbers)? = reply.embeddings.first else { throw TestFailure(reply.line) }
        let parsed = numbers.compactMap { number -> UInt32? in
            switch number {
            case .double(let value): Float(value).bitPattern
            case .int(let value): Float(value).bitPattern
            default: nil
            }
        }
        #expect(parsed == exact)
    }

    @Test func normalizedVectorsHaveLengthOne() throws {
        let plain = try #require(try vectors(oracle.embedLine([4])).first)
        let unit = try #require(try vectors(oracle.embedLine([4], #","normalize":"l2""#)).first)
        let length = plain.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        // Each component is rounded once.
        #expect(distance(unit, plain.map { Double($0) / length }) < 1e-7)
    }

    /// There is no length to divide by.
    @Test func aVectorOfZerosStaysAsItIs() throws {
        let silent = try TemporaryModel(oracle, golden: 0) { writer, name, shape, values in
            try writer.add(name, shape: shape, name.hasPrefix("fc1") ? values.map { _ in 0 } : values)
        }
        let client = try ServerProcess(model: silent.path).connect()
        let reply = try client.ask(oracle.embedLine([4, 5], #","normalize":"l2""#))
        #expect(reply.embeddings.count == 2)
        for row in reply.embeddings { #expect(floats(string(row) ?? "") == [Float](repeating: 0, count: 7)) }
    }

    @Test func wrongEntriesAreNamed() throws {
        let good = base64(oracle.patch(1))
        for (entry, parameters) in [
            (base64(Array(oracle.patch(1).dropLast())), ""), (base64(oracle.patch(1) + [0]), ""), ("", ""),
            (base64([UInt8](repeating: 0, count: 10_000)), ""), (String(good.dropLast()), ""),
            ("*" + good.dropFirst(), ""),
            (good.dropLast(4) + "====", ""), (good, #","dtype":"f32""#), (good + "\\n", ""),
        ] {
            let line =
                #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"patches":["\#(good)","\#(entry)"]"#
                + "\(parameters)}}"
            let reply = try client.ask(line)
            #expect(reply.code == -32602, "\(entry)")
            #expect(reply.parameter == "patches")
            if parameters.isEmpty { #expect(reply.message.contains("ntry 1 "), "\(reply.message)") }
        }
        for value in [
            Float.nan, .infinity, -.infinity, -0.001, 1.0001, -.leastNonzeroMagnitude, .greatestFiniteMagnitude,
        ] {
            var values = [Float](repeating: 0.5, count: 216)
            values[17] = value
            let line =
                #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"dtype":"f32","patches":["\#(base64(values))"]}}"#
            let reply = try client.ask(line)
            #expect(reply.code == -32602 && reply.parameter == "patches", "\(value)")
            #expect(reply.message.contains("position 17"))
        }
        for value in [Float(0), -0.0, 1] {
            let values = [Float](repeating: value, count: 216)
            let line =
                #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"dtype":"f32","patches":["\#(base64(values))"]}}"#
            #expect(try client.ask(line).code == nil, "\(value)")
        }
    }

    @Test func wrongParametersAreNamed() throws {
        let patch = base64(oracle.patch(1))
        let patches = #""patches":["\#(patch)"]"#
        for (parameters, name, code) in [
            ("", "patches", -32602), (#""patches":[]"#, "patches", -32602),
            (#""patches":"\#(patch)""#, "patches", -32602),
            (#""patches":[1]"#, "patches", -32602), (patches + #","images":["AAAA"]"#, "patches", -32602),
            (patches + #","dtype":"f16""#, "dtype", -32602), (patches + #","shape":[9,8]"#, "shape", -32602),
            (patches + #","shape":[0,8,3]"#, "shape", -32602), (patches + #","shape":"9x8""#, "shape", -32602),
            (patches + #","layers":[]"#, "layers", -32602), (patches + #","layers":"fc1""#, "layers", -32602),
            (patches + #","layers":[1]"#, "layers", -32602), (patches + #","pool":"sum""#, "pool", -32602),
            (patches + #","normalize":"l1""#, "normalize", -32602),
            (patches + #","encoding":"hex""#, "encoding", -32602),
            (patches + #","deadline_ms":-1"#, "deadline_ms", -32602),
            (patches + #","deadline_ms":"1""#, "deadline_ms", -32602), (patches + #","model":1"#, "model", -32602),
            (patches + #","layers":["nope"]"#, nil, -32003), (patches + #","layers":["pool1"]"#, nil, -32003),
            (patches + #","model":"nope""#, nil, -32003),
        ] as [(String, String?, Int)] {
            let reply = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"embed","params":{\#(parameters)}}"#)
            #expect(reply.code == code, "\(parameters)")
            #expect(reply.parameter == name, "\(parameters)")
        }
        #expect(try client.isQuiet())
    }

    @Test func base64MayBeEscaped() throws {
        let patch = base64(oracle.patch(1))
        let escaped = patch.utf8.map { "\\u00" + (String($0, radix: 16)) }.joined()
        let plain = try client.ask(oracle.embedLine([1]))
        let reply = try client.ask(#"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"patches":["\#(escaped)"]}}"#)
        #expect(reply.line == plain.line)
    }

    @Test func whatCanNeverFitIsRefused() throws {
        let reply = try client.ask(oracle.embedLine(Array(0..<65)))
        #expect(reply.code == -32602 && reply.parameter == "patches")
        // 64 × 295 float32 as base64 are more than 20,000 bytes.
        let long = try client.ask(oracle.embedLine(Array(0..<64), #","layers":"all""#))
        #expect(long.code == -32602 && long.message.contains("--max-reply-bytes"), "\(long.line)")
        #expect(try client.ask(oracle.embedLine(Array(0..<64))).embeddings.count == 64)
    }

    @Test func aDeadlineThatHasPassed() throws {
        #expect(try client.ask(oracle.embedLine([1], #","deadline_ms":0"#)).code == -32008)
        #expect(try client.ask(oracle.embedLine([1], #","deadline_ms":60000"#)).code == nil)
        #expect(try client.ask(oracle.embedLine([1], #","deadline_ms":1e300"#)).code == nil)
    }
}
