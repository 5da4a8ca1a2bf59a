import Foundation
import JSONRPC
import Testing

/// Golden lines, damaged at random: whatever comes, the parser answers, agrees with Foundation on what is JSON, and the
/// reply is one line of JSON.
@Suite struct MutationTests {
    static let seeds: [UInt64] = [11, 12, 13, 14]
    private static let alphabet =
        Array(#"{}[]":,\/u0129eE+-.ntf aé"#.utf8) + [0x00, 0x09, 0x0A, 0x1F, 0x7F, 0x80, 0xFF]

    private func mutate(_ line: [UInt8], using random: inout SeededGenerator) -> [UInt8] {
        var line = line
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let place = Int.random(in: 0...line.count, using: &random)
            let byte = Self.alphabet.randomElement(using: &random) ?? 0
            switch Int.random(in: 0..<5, using: &random) {
            case 0: line.insert(byte, at: place)
            case 1: if place < line.count { line[place] = byte }
            case 2: if place < line.count { line.remove(at: place) }
            case 3: line.removeLast(min(line.count, Int.random(in: 0...8, using: &random)))
            default:
                let end = Int.random(in: place...line.count, using: &random)
                line.insert(contentsOf: line[place..<end], at: place)
            }
        }
        return line
    }

    @Test(arguments: seeds) func damagedLinesAreAnswered(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var parser = RequestParser()
        var replies = JSONScanner()
        for round in 0..<4000 {
            let golden = goldenLines[round % goldenLines.count]
            let line = mutate(Array(golden.utf8), using: &random)
            let text = String(decoding: line, as: UTF8.self)
            line.withUnsafeBytes { bytes in
                let entries: [Incoming] =
                    switch parser.parse(bytes) {
                    case .single(let incoming): [incoming]
                    case .batch(let incoming): incoming
                    }
                #expect(!entries.isEmpty)
                var isParseError = false
                for entry in entries {
                    var reply = ByteBuffer()
                    let id = entry.id ?? .null
                    switch entry.request {
                    case .success(let request):
                        decodeAll(request)
                        Response(id: id, content: .result("ok")).write(to: &reply)
                    case .failure(let error):
                        isParseError = error.code == .parseError
                        Response(id: id, content: .failure(error)).write(to: &reply)
                    }
                    reply.withUnsafeBytes { bytes in
                        #expect(!bytes.contains(0x0A) || id.json.contains(0x0A), "seed \(seed): \(text)")
                        #expect(throws: Never.self, "seed \(seed): \(text)") { try replies.scan(bytes) }
                    }
                }
                let foundation = isJSONToFoundation(line)
                if !isParseError { #expect(foundation != false, "seed \(seed): Foundation refuses \(text)") }
                if isParseError, foundation == true {
                    // Repeated keys are the one thing that this protocol refuses and Foundation takes.
                    #expect("\(outcome(line))".contains("stands twice"), "seed \(seed): Foundation takes \(text)")
                }
            }
        }
    }

    private func decodeAll(_ request: Request) {
        guard case .embed(let embed) = request else { return }
        for entry in embed.inputs.entries {
            var output = [UInt8](repeating: 0, count: 64)
            _ = output.withUnsafeMutableBytes { output in
                Result { () throws(Base64Error) in try entry.decodeBase64(into: output) }
            }
        }
    }
}
