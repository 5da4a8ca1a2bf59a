import ExemplarNetwork
import Glibc
import JSONRPC

/// The frames of a stream, cut where its first bytes say, against a reading of the whole at once.
///
/// Input: a limit (1 byte), the length of the chunks (1 byte), the stream.
func fuzzFraming(_ input: UnsafeRawBufferPointer) {
    guard input.count > 2 else { return }
    let limit = Int(input[0]) + 1
    let step = Int(input[1]) + 1
    let stream = Array(input.dropFirst(2))

    // A frame is a line, or nil for one that is too long.
    var expected: [[UInt8]?] = []
    var rest = stream[...]
    while let end = rest.firstIndex(of: 0x0A) {
        let line = rest[..<end]
        let text = line.last == 0x0D ? line.dropLast() : line
        if let first = line.first, beginsNoText(first) {
            expected.append([first])
        } else if text.count > limit {
            expected.append(nil)
        } else if !text.isEmpty {
            expected.append(Array(text))
        }
        rest = rest[(end + 1)...]
    }
    if let first = rest.first, beginsNoText(first) {
        expected.append([first])
    } else if rest.count > limit + (rest.last == 0x0D ? 1 : 0) {
        expected.append(nil)
    }

    var framer = LineFramer(maxLineBytes: limit)
    var found: [[UInt8]?] = []
    for start in stride(from: 0, to: stream.count, by: step) {
        stream[start..<min(start + step, stream.count)].withUnsafeBytes { framer.append($0) }
        while let frame = framer.nextLine() {
            switch frame {
            case .line(let line): found.append(Array(line))
            case .tooLong: found.append(nil)
            }
        }
        check(framer.pendingByteCount <= limit + 1, "more than a line and its CR is stored")
    }
    check(found == expected, "the frames depend on how the stream is cut")
}

/// Whether a line that begins so is no text: its first byte is all that is handed out.
private func beginsNoText(_ byte: UInt8) -> Bool { byte >= 0x7F || byte < 0x20 && ![0x09, 0x0A, 0x0D].contains(byte) }

/// A line as the server takes it: parsed, its base64 decoded, and answered. Every answer is JSON with the id as sent.
func fuzzJSONRPC(_ line: UnsafeRawBufferPointer) {
    var parser = RequestParser()
    switch parser.parse(line) {
    case .single(let incoming): answer(incoming)
    case .batch(let entries):
        check((1...RequestParser.maxBatchCount).contains(entries.count), "a batch of \(entries.count) entries")
        for incoming in entries { answer(incoming) }
    }
}

private func answer(_ incoming: Incoming) {
    let content: Response.Content
    switch incoming.request {
    case .failure(let error): content = .failure(error)
    case .success(.embed(let request)):
        decode(request.inputs)
        content = .result(["status": "ok"])
    case .success(.classify(let request)):
        decode(request.inputs)
        content = .result(["status": "ok"])
    case .success(let request): content = .result(["method": .string(request.method.rawValue)])
    }
    guard let id = incoming.id else { return }
    var buffer = ByteBuffer()
    Response(id: id, content: content).write(to: &buffer)
    var scanner = JSONScanner()
    buffer.withUnsafeBytes { bytes in
        check(!bytes.contains(0x0A), "a reply has a line feed")
        check(Reply(line: bytes, scanner: &scanner)?.id == id, "a reply that no client can read, or with another id")
    }
}

private func decode(_ inputs: InputEntries) {
    for entry in inputs.entries {
        var pixels = [UInt8](repeating: 0, count: min(entry.base64Capacity, 3072))
        _ = pixels.withUnsafeMutableBytes { pixels in
            Result { () throws(Base64Error) in try entry.decodeBase64(into: pixels) }
        }
    }
}

/// `config.json`: refused with a sentence, or taken.
func fuzzConfiguration(_ bytes: UnsafeRawBufferPointer) {
    do throws(ModelError) {
        let configuration = try NetworkConfiguration.parse(bytes)
        check(!configuration.layers.isEmpty, "a network of no layers")
        check((1...1 << 24).contains(configuration.input.count), "a patch of \(configuration.input.count) values")
    } catch {
        check(!error.description.isEmpty, "no reason given")
    }
}

/// Base64 against a decoder of one character at a time, into room that is too small, exact and ample.
func fuzzBase64(_ text: UnsafeRawBufferPointer) {
    let expected = slowlyDecoded(text)
    for room in [expected?.count ?? text.count, text.count + 16, (expected?.count ?? 0) - 1] where room >= 0 {
        var output = [UInt8](repeating: 0xA5, count: room + 8)
        let result = output.withUnsafeMutableBytes { output in
            Result { () throws(Base64Error) in
                try Base64.decode(text, into: UnsafeMutableRawBufferPointer(rebasing: output[..<room]))
            }
        }
        check(output.suffix(8).allSatisfy { $0 == 0xA5 }, "something is written behind the end")
        guard let expected, expected.count <= room else {
            if case .success = result { check(false, "bad base64 is taken") }
            continue
        }
        guard case .success(expected.count) = result else {
            check(false, "good base64 is refused")
            return
        }
        check(Array(output.prefix(expected.count)) == expected, "decoded to other bytes")
        var encoded = ByteBuffer()
        expected.withUnsafeBytes { encoded.append(base64: $0) }
        check(encoded.withUnsafeBytes { $0.elementsEqual(text) }, "encoded to another text")
    }
}

/// RFC 4648, §4; nil for what is not exactly what an encoder writes.
private func slowlyDecoded(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    guard text.count % 4 == 0 else { return nil }
    let padding = text.reversed().prefix(2).prefix { $0 == UInt8(ascii: "=") }.count
    var bits = 0
    var bytes: [UInt8] = []
    for (index, character) in text.dropLast(padding).enumerated() {
        guard let value = alphabet.firstIndex(of: character) else { return nil }
        bits = (bits << 6 | value) & 0xFFFFFF
        if index % 4 == 3 { bytes += [UInt8(bits >> 16), UInt8(bits >> 8 & 0xFF), UInt8(bits & 0xFF)] }
    }
    switch padding {
    case 1:
        guard bits & 3 == 0 else { return nil }
        bytes += [UInt8(bits >> 10 & 0xFF), UInt8(bits >> 2 & 0xFF)]
    case 2:
        guard bits & 15 == 0 else { return nil }
        bytes.append(UInt8(bits >> 4 & 0xFF))
    default: break
    }
    return bytes
}
