import FoundationEssentials
import JSONRPC
import Testing

@Suite struct Base64Tests {
    private func decode(_ text: String, capacity: Int = 64) -> Result<[UInt8], Base64Error> {
        // Bytes around the output prove that nothing outside it is written.
        var room = [UInt8](repeating: 0xA5, count: capacity + 16)
        let result = Array(text.utf8).withUnsafeBytes { text in
            room.withUnsafeMutableBytes { room in
                let output = UnsafeMutableRawBufferPointer(rebasing: room[8..<(8 + capacity)])
                return Result { () throws(Base64Error) in try Base64.decode(text, into: output) }
            }
        }
        #expect((room[..<8] + room[(8 + capacity)...]).allSatisfy { $0 == 0xA5 })
        return result.map { Array(room[8..<(8 + $0)]) }
    }

    private func encode(_ bytes: [UInt8]) -> String {
        var buffer = ByteBuffer()
        bytes.withUnsafeBytes { buffer.append(base64: $0) }
        return buffer.text
    }

    @Test func everyLengthAgreesWithFoundation() throws {
        var random = SeededGenerator(seed: 1)
        for count in 0...300 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            let text = Data(bytes).base64EncodedString()
            #expect(encode(bytes) == text)
            #expect(try decode(text, capacity: count).get() == bytes, "\(count) bytes, seed 1")
            #expect(try decode(text, capacity: count + 9).get() == bytes, "\(count) bytes, seed 1")
        }
    }

    @Test func everyBytePatternOfAGroupAgreesWithFoundation() throws {
        var random = SeededGenerator(seed: 2)
        for _ in 0..<200 {
            let bytes = (0..<3072).map { _ in UInt8.random(in: 0...255, using: &random) }
            let text = Data(bytes).base64EncodedString()
            #expect(encode(bytes) == text)
            #expect(try decode(text, capacity: 3072).get() == bytes)
        }
    }

    /// Each byte at each place of a text: exactly the 64 characters of the alphabet are taken.
    @Test(arguments: [8, 16, 20, 24]) func everyWrongCharacterIsFoundInItsPlace(length: Int) throws {
        let alphabet = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        for place in 0..<length {
            for byte in UInt8.min...UInt8.max {
                var text = [UInt8](repeating: UInt8(ascii: "A"), count: length)
                text[place] = byte
                var output = [UInt8](repeating: 0, count: length)
                let result = text.withUnsafeBytes { text in
                    output.withUnsafeMutableBytes { output in
                        Result { () throws(Base64Error) in try Base64.decode(text, into: output) }
                    }
                }
                if alphabet.contains(byte) {
                    #expect(try result.get() == length / 4 * 3)
                } else if byte == UInt8(ascii: "="), place == length - 1 {
                    #expect(try result.get() == length / 4 * 3 - 1)
                } else {
                    #expect(result == .failure(.character(offset: place)), "byte \(byte) at \(place)")
                }
            }
        }
    }

    @Test(arguments: [
        ("A", Base64Error.length(characterCount: 1)),
        ("AB", .length(characterCount: 2)),
        ("ABC", .length(characterCount: 3)),
        ("ABCDE", .length(characterCount: 5)),
        ("QUI=\n", .length(characterCount: 5)),
        ("====", .character(offset: 0)),
        ("A===", .character(offset: 1)),
        ("=AAA", .character(offset: 0)),
        ("AA=A", .character(offset: 2)),
        ("QQ==QQ==", .character(offset: 2)),
        ("QUI=QUI=", .character(offset: 3)),
        ("QUI-", .character(offset: 3)),
        ("QUI_", .character(offset: 3)),
        ("QU I", .character(offset: 2)),
        ("QUI\u{0}", .character(offset: 3)),
        ("QUé", .character(offset: 2)),
        ("QR==", .trailingBits),
        ("Qf==", .trailingBits),
        ("QUJ=", .trailingBits),
        ("AAAAQUJ=", .trailingBits),
    ]) func malformed(text: String, error: Base64Error) {
        #expect(decode(text) == .failure(error))
        #expect(!error.explanation.isEmpty)
    }

    @Test func tooMuchForTheRoomIsCountedAndNotWritten() {
        #expect(decode("QUJDRA==", capacity: 3) == .failure(.capacity(byteCount: 4)))
        #expect(decode("QUJD", capacity: 0) == .failure(.capacity(byteCount: 3)))
        #expect(decode("QU-D", capacity: 0) == .failure(.character(offset: 2)))
        #expect(decode("QR==", capacity: 0) == .failure(.capacity(byteCount: 1)))
        #expect(decode("", capacity: 0) == .success([]))
    }

    @Test func jsonEscapesAreHonoured() throws {
        let bytes: [UInt8] = (0..<48).map { UInt8(truncatingIfNeeded: 255 - $0 * 3) }
        let plain = Data(bytes).base64EncodedString()
        let slashes = plain.replacing("/", with: #"\/"#)
        let everything = plain.utf8.map { "\\u00\($0 < 16 ? "0" : "")\(String($0, radix: 16))" }.joined()
        #expect(plain.contains("/"))
        for text in [plain, slashes, everything] {
            let line = #"{"jsonrpc":"2.0","id":1,"method":"embed","params":{"patches":["\#(text)"]}}"#
            try withRequest(line) { request in
                guard case .embed(let embed) = request, let entry = embed.inputs.entries.first else {
                    Issue.record("no embed request")
                    return
                }
                #expect(entry.base64Capacity >= bytes.count)
                var output = [UInt8](repeating: 0, count: bytes.count)
                let count = try output.withUnsafeMutableBytes { try entry.decodeBase64(into: $0) }
                #expect(count == bytes.count && output == bytes)
            }
        }
    }
}
