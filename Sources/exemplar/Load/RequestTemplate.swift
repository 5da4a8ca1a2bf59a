import JSONRPC

/// Requests that are written once, before the measurement: only their ids are put in as they are sent, so that the load
/// generator leaves the cores to the server.
struct RequestTemplate {
    private let head: ByteBuffer
    /// Of several requests with patches of their own, so that not every one meets the same bytes.
    private let tails: [ByteBuffer]

    /// - Parameters:
    ///   - patchByteCount: of one patch, as seeded noise.
    ///   - model: its name, nil for the server's default.
    /// - Throws: `CommandError` where a request would be longer than any server reads.
    init(_ plan: LoadPlan, patchByteCount: Int, model: String?) throws(CommandError) {
        let byteCount = plan.patches * patchByteCount
        guard byteCount <= Self.maximumByteCount else {
            throw .failure(
                "A request would have \(byteCount >> 20) MiB of pixels, more than the "
                    + "\(Self.maximumByteCount >> 20) that are sent: give fewer --patches.")
        }
        var params: [JSONValue.Member] = [.init("encoding", .string(plan.encoding.rawValue))]
        if let model { params.append(.init("model", .string(model))) }
        params += plan.layers.params
        if let samples = plan.samples {
            params.append(
                .init(
                    "transform",
                    ["mode": "mean", "samples": .int(samples), "seed": .int(Int(clamping: plan.seed))]))
        }
        var random = SeededRandom(seed: plan.seed)
        let mark = "\"id\":"
        var line = ByteBuffer()
        line.append(utf8: "{\"jsonrpc\":\"2.0\"," + mark)
        head = line
        // Fewer of long ones: together they take memory, and noise takes time.
        let variants = max(1, min(Self.variants, Self.variantsByteCount / max(1, byteCount)))
        tails = (0..<variants).map { _ in
            let pixels = (0..<byteCount).map { _ in UInt8.random(in: 0...255, using: &random) }
            var whole = ByteBuffer()
            let request = OutgoingRequest(id: .null, method: "embed", params: params)
            pixels.withUnsafeBytes { request.writeLine(withPatches: $0, patchByteCount: patchByteCount, to: &whole) }
            // Behind the id, which is `null` here.
            whole.consume(line.count + 4)
            return whole
        }
    }

    private static let variants = 8
    private static let variantsByteCount = 64 << 20
    private static let maximumByteCount = 256 << 20

    /// Appends request number `id`.
    func write(_ id: Int, to buffer: inout ByteBuffer) {
        buffer.append(contentsOf: head)
        buffer.append(utf8: String(id))
        buffer.append(contentsOf: tails[id % tails.count])
    }
}

/// A reply as far as a load generator reads it: its id, and whether it is an error. The server writes these members
/// first, in this order, so that the rest need not be looked at.
struct ScannedReply: Equatable {
    var id: Int?
    /// The error's code; nil for a result.
    var code: Int?

    /// Nil for a line that is no such reply.
    init?(_ line: UnsafeRawBufferPointer) {
        var rest = line[...]
        guard Self.skip("{\"jsonrpc\":\"2.0\",\"id\":", &rest) else { return nil }
        id = Self.number(&rest)
        if id == nil { guard Self.skip("null", &rest) else { return nil } }
        if Self.skip(",\"result\":", &rest) { return }
        guard Self.skip(",\"error\":{\"code\":", &rest), let code = Self.number(&rest) else { return nil }
        self.code = code
    }

    private static func skip(_ text: StaticString, _ rest: inout Slice<UnsafeRawBufferPointer>) -> Bool {
        let wanted = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard rest.starts(with: wanted) else { return false }
        rest = rest.dropFirst(wanted.count)
        return true
    }

    private static func number(_ rest: inout Slice<UnsafeRawBufferPointer>) -> Int? {
        // Longer ones are none of ours.
        let digits = rest.prefix(19).prefix { (0x30...0x39).contains($0) || $0 == 0x2D }
        guard let number = Int(String(decoding: digits, as: UTF8.self)) else { return nil }
        rest = rest.dropFirst(digits.count)
        return number
    }
}
