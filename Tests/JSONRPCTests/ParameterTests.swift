import JSONRPC
import Testing
import Transformations

@Suite struct ParameterTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var method: String
        var params: String
        var parameter: String
        var testDescription: String { "\(method) \(params)" }

        init(_ method: String, _ params: String, _ parameter: String) {
            (self.method, self.params, self.parameter) = (method, params, parameter)
        }
    }

    private static func repeated(_ element: String, _ count: Int) -> String {
        Array(repeating: element, count: count).joined(separator: ",")
    }

    /// What is wrong and the parameter that the error must name.
    static let wrong: [Row] = [
        Row("embed", #"{}"#, "patches"),
        Row("embed", #"{"patchs":["QUJD"]}"#, "patchs"),
        Row("embed", #"{"patches":["QUJD"],"images":["QUJD"]}"#, "patches"),
        Row("embed", #"{"patches":[]}"#, "patches"),
        Row("embed", #"{"patches":"QUJD"}"#, "patches"),
        Row("embed", #"{"patches":null}"#, "patches"),
        Row("embed", #"{"patches":["QUJD",7]}"#, "patches"),
        Row("embed", #"{"images":{}}"#, "images"),
        Row("embed", #"{"images":[]}"#, "images"),
        Row("embed", #"{"images":["QUJD"],"shape":[32,32,3]}"#, "shape"),
        Row("embed", #"{"images":["QUJD"],"dtype":"u8"}"#, "dtype"),
        Row("embed", #"{"patches":["QUJD"],"dtype":"f64"}"#, "dtype"),
        Row("embed", #"{"patches":["QUJD"],"dtype":8}"#, "dtype"),
        Row("embed", #"{"patches":["QUJD"],"shape":[32,32]}"#, "shape"),
        Row("embed", #"{"patches":["QUJD"],"shape":[32,32,3,1]}"#, "shape"),
        Row("embed", #"{"patches":["QUJD"],"shape":[0,32,3]}"#, "shape"),
        Row("embed", #"{"patches":["QUJD"],"shape":[32.5,32,3]}"#, "shape"),
        Row("embed", #"{"patches":["QUJD"],"shape":[32,32,-3]}"#, "shape"),
        Row("embed", #"{"patches":["QUJD"],"shape":[1e300,32,3]}"#, "shape"),
        Row("embed", #"{"patches":["QUJD"],"shape":"32x32x3"}"#, "shape"),
        Row("embed", #"{"patches":["QUJD"],"shape":[65537,32,3]}"#, "shape"),
        Row("embed", #"{"patches":["QUJD"],"shape":[32,65537,3]}"#, "shape"),
        Row("embed", #"{"patches":["QUJD"],"model":1}"#, "model"),
        Row("embed", #"{"patches":["QUJD"],"layers":[]}"#, "layers"),
        Row("embed", #"{"patches":["QUJD"],"layers":"conv1"}"#, "layers"),
        Row("embed", #"{"patches":["QUJD"],"layers":["conv1",2]}"#, "layers"),
        Row("embed", #"{"patches":["QUJD"],"pool":"median"}"#, "pool"),
        Row("embed", #"{"patches":["QUJD"],"normalize":true}"#, "normalize"),
        Row("embed", #"{"patches":["QUJD"],"encoding":"hex"}"#, "encoding"),
        Row("embed", #"{"patches":["QUJD"],"deadline_ms":"5"}"#, "deadline_ms"),
        Row("embed", #"{"patches":["QUJD"],"deadline_ms":-1}"#, "deadline_ms"),
        Row("embed", #"{"patches":["QUJD"],"deadline_ms":1e999}"#, "deadline_ms"),
        Row("embed", #"{"patches":["QUJD"],"transform":"mean"}"#, "transform"),
        Row("embed", #"{"patches":["QUJD"],"transform":{}}"#, "transform.mode"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"median"}}"#, "transform.mode"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"mean"}}"#, "transform.samples"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"mean","samples":0}}"#, "transform.samples"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"mean","samples":1000001}}"#, "transform.samples"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"mean","samples":2,"index":1}}"#, "transform.index"),
        Row(
            "embed", #"{"patches":["QUJD"],"transform":{"mode":"mean","samples":2,"tolerance":0}}"#,
            "transform.tolerance"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","samples":2}}"#, "transform.samples"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","seed":-1}}"#, "transform.seed"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","seed":9007199254740992}}"#, "transform.seed"),
        Row(
            "embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","seed":9007199254740993.0}}"#,
            "transform.seed"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","index":0.5}}"#, "transform.index"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","index":-1}}"#, "transform.index"),
        Row(
            "embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","index":9007199254740992}}"#,
            "transform.index"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","steps":["zoom"]}}"#, "transform.steps"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","steps":"hue"}}"#, "transform.steps"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","border":"wrap"}}"#, "transform.border"),
        Row(
            "embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","standard_errors":1}}"#,
            "transform.standard_errors"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"mode":"sample","sed":1}}"#, "transform.sed"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"parameters":[]}}"#, "transform.parameters"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"parameters":[3]}}"#, "transform.parameters[0]"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"parameters":[{}]}}"#, "transform.parameters[0].translation"),
        Row("embed", #"{"patches":["QUJD"],"transform":{"parameters":[{}],"seed":1}}"#, "transform.seed"),
        Row("classify", #"{"patches":["QUJD"],"layers":"all"}"#, "layers"),
        Row("classify", #"{"patches":["QUJD"],"top":0}"#, "top"),
        Row("classify", #"{"patches":["QUJD"],"top":1000001}"#, "top"),
        Row("transform", #"{"patches":["QUJD"]}"#, "transform"),
        Row("transform", #"{"images":["QUJD"],"transform":{"mode":"sample"}}"#, "images"),
        Row("embed", "{\"patches\":[\"QUJD\"],\"layers\":[\(repeated("\"a\"", 257))]}", "layers"),
        Row(
            "embed",
            "{\"patches\":[\"QUJD\"],\"transform\":{\"mode\":\"sample\",\"steps\":[\(repeated("\"hue\"", 65))]}}",
            "transform.steps"),
        Row(
            "embed", "{\"patches\":[\"QUJD\"],\"transform\":{\"parameters\":[\(repeated("{}", 4097))]}}",
            "transform.parameters"),
        Row("auth", #"{}"#, "token"),
        Row("auth", #"{"token":1}"#, "token"),
        Row("model", #"{"model":null}"#, "model"),
    ]

    @Test(arguments: wrong) func theErrorNamesTheParameter(row: Row) {
        let found = outcome(#"{"jsonrpc":"2.0","id":1,"method":"\#(row.method)","params":\#(row.params)}"#)
        #expect(found.map(\.code) == [.invalidParams])
        #expect(found.map(\.parameter) == [row.parameter])
        #expect(found.allSatisfy { ($0.message ?? "").contains("`\(row.parameter)`") })
    }

    /// As many entries as the queue holds, and one more, which is refused before any is looked at.
    @Test(arguments: ["patches", "images"]) func entriesAreCountedFirst(name: String) {
        for count in [7, 8] {
            let line =
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"embed\",\"params\":{\"\(name)\":["
                + Self.repeated("\"QUJD\"", count - 1) + (count == 8 ? ",7" : ",\"QUJD\"") + "]}}"
            var parser = RequestParser(maxEntries: 7)
            Array(line.utf8).withUnsafeBytes { line in
                guard case .single(let incoming) = parser.parse(line) else {
                    Issue.record("a batch")
                    return
                }
                let found = Outcome(incoming)
                #expect(found.code == (count == 8 ? .invalidParams : nil))
                if count == 8 {
                    #expect(found.parameter == name && found.message?.contains("at most 7 entries") == true, "\(found)")
                }
            }
        }
    }

    private func embed(_ params: String) throws -> EmbedRequest {
        try withRequest(#"{"jsonrpc":"2.0","id":1,"method":"embed","params":\#(params)}"#) { request in
            guard case .embed(let embed) = request else { throw UnexpectedBatch() }
            // The entries refer to the line, which is gone afterwards.
            var copy = embed
            copy.inputs.entries = []
            return copy
        }
    }

    @Test func theDefaultsOfEmbed() throws {
        let request = try embed(#"{"patches":["QUJD"]}"#)
        #expect(request.inputs.kind == .patches(.u8, shape: nil))
        #expect(request.model == nil && request.transform == nil && request.deadline == nil)
        #expect(request.layers == .embedding && request.pool == .none)
        #expect(request.normalize == .none && request.encoding == .base64)
    }

    @Test func everyParameterOfEmbed() throws {
        let request = try embed(
            #"{"patches":["QUJD"],"dtype":"f32","shape":[64,48.0,3e0],"model":"small","layers":["a","b","a"],"#
                + #""pool":"mean","normalize":"l2","encoding":"float","deadline_ms":1.5,"#
                + #""transform":{"mode":"mean","samples":8,"tolerance":0.25,"steps":["hue","scale","hue"],"#
                + #""border":"replicate","standard_errors":true}}"#)
        #expect(request.inputs.kind == .patches(.f32, shape: .init(height: 64, width: 48, channels: 3)))
        #expect(request.model == "small" && request.layers == .named(["a", "b", "a"]))
        #expect(request.pool == .mean && request.normalize == .l2 && request.encoding == .float)
        #expect(request.deadline == .microseconds(1500))
        #expect(
            request.transform
                == TransformOptions(
                    mode: .mean(samples: 8, seed: nil, tolerance: 0.25), steps: [.hue, .scale], border: .replicate,
                    wantsStandardErrors: true))
        #expect(try embed(#"{"images":["QUJD"],"layers":"all"}"#).inputs.kind == .images)
        #expect(try embed(#"{"images":["QUJD"],"layers":"all"}"#).layers == .all)
        #expect(try embed(#"{"patches":["QUJD"],"deadline_ms":0}"#).deadline == .zero)
        #expect(try embed(#"{"patches":["QUJD"],"deadline_ms":1e300}"#).deadline ?? .zero > .seconds(900_000_000))
    }

    @Test func modesOfTransform() throws {
        func mode(_ options: String) throws -> TransformOptions.Mode? {
            try embed(#"{"patches":["QUJD"],"transform":\#(options)}"#).transform?.mode
        }
        #expect(try mode(#"{"mode":"sample"}"#) == .sample(seed: nil, index: 0))
        #expect(
            try mode(#"{"mode":"sample","seed":9007199254740991,"index":5}"#)
                == .sample(seed: 9_007_199_254_740_991, index: 5))
        #expect(try mode(#"{"mode":"mean","samples":1,"seed":0}"#) == .mean(samples: 1, seed: 0, tolerance: nil))
        let parameters =
            #"{"translation":[0.1,-0.2],"scale":1.1,"rotation_degrees":-20,"contrast":[1,2,0.5],"#
            + #""color":{"power":[1,2],"factor":[3,4],"offset":[-0.1,0.1]},"hue":0.05}"#
        guard case .parameters(let list)? = try mode(#"{"parameters":[\#(parameters),\#(parameters)]}"#) else {
            Issue.record("no parameters")
            return
        }
        #expect(list.count == 2 && list[0] == list[1])
        #expect(list[0].translationX == 0.1 && list[0].translationY == -0.2 && list[0].scale == 1.1)
        #expect(list[0].rotationDegrees == -20 && list[0].contrast == [1, 2, 0.5] && list[0].hue == 0.05)
        #expect(list[0].power.saturation == 1 && list[0].factor.value == 4 && list[0].offset.saturation == -0.1)
    }

    /// The greatest numbers that the protocol takes; one more is among those that are wrong.
    @Test func theGreatestNumbers() throws {
        func mode(_ options: String) throws -> TransformOptions.Mode? {
            try embed(#"{"patches":["QUJD"],"transform":\#(options)}"#).transform?.mode
        }
        #expect(
            try mode(#"{"mode":"mean","samples":1000000}"#) == .mean(samples: 1_000_000, seed: nil, tolerance: nil))
        #expect(
            try mode(#"{"mode":"sample","index":9007199254740991}"#)
                == .sample(seed: nil, index: 9_007_199_254_740_991))
        let shape = try embed(#"{"patches":["QUJD"],"shape":[65536,65536,65536]}"#).inputs.kind
        #expect(shape == .patches(.u8, shape: .init(height: 65_536, width: 65_536, channels: 65_536)))
        let line = #"{"jsonrpc":"2.0","id":1,"method":"classify","params":{"patches":["QUJD"],"top":1000000}}"#
        try withRequest(line) { request in
            guard case .classify(let classify) = request else { throw UnexpectedBatch() }
            #expect(classify.top == 1_000_000)
        }
    }

    @Test func theOtherMethods() throws {
        let prefix = #"{"jsonrpc":"2.0","id":1,"method":"#
        try withRequest(prefix + #""classify","params":{"patches":["QUJD"],"top":3}}"#) { request in
            guard case .classify(let classify) = request else { throw UnexpectedBatch() }
            #expect(classify.top == 3)
        }
        try withRequest(prefix + #""transform","params":{"patches":["QUJD"],"transform":{"mode":"sample"}}}"#) {
            guard case .transform(let transform) = $0 else { throw UnexpectedBatch() }
            #expect(transform.transform.steps == nil)
        }
        try withRequest(prefix + #""auth","params":{"token":"se\u0063ret"}}"#) { request in
            guard case .auth(let token) = request else { throw UnexpectedBatch() }
            #expect(token == "secret")
        }
        try withRequest(prefix + #""model","params":{"model":"small"}}"#) { request in
            guard case .model(let name) = request else { throw UnexpectedBatch() }
            #expect(name == "small")
        }
    }
}
