import JSONRPC

/// Lines that a client might send, among them each kind of request, ids of every form, escapes and other alphabets.
let goldenLines: [String] = [
    #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"patches":["AAECAwQFBgcICQoLDA0ODw=="]}}"#,
    #"{"jsonrpc":"2.0","id":"a\u0062\"/\/","method":"live"}"#,
    #"{"jsonrpc":"2.0","method":"ready"}"#,
    #" { "id" : null , "params" : { } , "method" : "stats" , "jsonrpc" : "2.0" } "#,
    #"[{"jsonrpc":"2.0","id":-0.50e+3,"method":"models"},{"jsonrpc":"2.0","method":"live"},7]"#,
    #"{"jsonrpc":"2.0","id":"žluťoučký 🐎","method":"model","params":{"model":"malý"}}"#,
    #"{"jsonrpc":"2.0","id":2,"method":"embed","params":{"images":["\/9j\/4AAQ"],"layers":["conv1","conv2"],"#
        + #""pool":"quadrant","normalize":"l2","encoding":"float","deadline_ms":12.5,"transform":"#
        + #"{"mode":"mean","samples":32,"seed":9007199254740991,"steps":["hue","scale"],"border":"zero"}}}"#,
    #"GET / HTTP/1.1"#,
    "[]", "{}", "42", "{", "\"", "[[[[", "nul",
]

/// Parses `line` with a parser of its own and describes the outcome without its lifetime: codes, ids and methods.
func outcome(_ line: some Sequence<UInt8>) -> [Outcome] {
    let bytes = Array(line)
    var parser = RequestParser()
    return bytes.withUnsafeBytes { bytes in
        switch parser.parse(bytes) {
        case .single(let incoming): [Outcome(incoming)]
        case .batch(let entries): entries.map(Outcome.init)
        }
    }
}

func outcome(_ line: String) -> [Outcome] { outcome(line.utf8) }

/// Parses `line`, which holds one valid request, and hands it to `body`.
func withRequest<Result>(_ line: String, _ body: (Request) throws -> Result) throws -> Result {
    var parser = RequestParser()
    return try Array(line.utf8).withUnsafeBytes { bytes in
        guard case .single(let incoming) = parser.parse(bytes) else { throw UnexpectedBatch() }
        return try body(try incoming.request.get())
    }
}

struct UnexpectedBatch: Error {}

struct Outcome: Equatable, CustomStringConvertible {
    var id: String?
    var method: Request.Method?
    var code: ErrorCode?
    var parameter: String?
    var message: String?

    init(_ incoming: Incoming) {
        id = incoming.id.map { String(decoding: $0.json, as: UTF8.self) }
        switch incoming.request {
        case .success(let request): method = request.method
        case .failure(let error):
            code = error.code
            message = error.message
            if case .string(let name)? = JSONValue.object(error.data)["param"] { parameter = name }
        }
    }

    var description: String { "\(id ?? "-") \(method?.rawValue ?? "") \(code?.rawValue ?? 0) \(message ?? "")" }
}

/// SplitMix64 (Steele, Lea and Flood 2014): a generator whose stream is the same everywhere.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

extension ByteBuffer {
    var text: String { withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }
}
