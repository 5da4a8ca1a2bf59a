import Safetensors
import TestSupport
import Testing

@Suite struct SafetensorsTests {
    /// A file from its header's text and its data.
    static func file(_ header: String, _ data: [UInt8] = []) -> [UInt8] {
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8) + data
    }

    static let good = file(
        #"{"__metadata__":{"by":"test"},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"#
            + #""b":{"dtype":"BF16","shape":[1,1],"data_offsets":[4,6]},"#
            + #""c":{"dtype":"F32","shape":[],"data_offsets":[6,10]}}"#,
        [0x00, 0x3C, 0x01, 0x80, 0xC0, 0x3F, 0x00, 0x00, 0x20, 0xC1])

    @Test func everyTypeOfFloatIsReadUnaligned() throws {
        let file = try SafetensorsFile(bytes: Self.good, name: "good")
        #expect(file.metadata == ["by": "test"])
        #expect(file.floats(of: try #require(file.tensors["a"])) == [1, -0x1p-24])
        #expect(file.floats(of: try #require(file.tensors["b"])) == [1.5])
        #expect(file.floats(of: try #require(file.tensors["c"])) == [-10])
        #expect(file.tensors["c"]?.shape == [])
    }

    @Test(arguments: [
        (
            "twice",
            file(
                #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"#
                    + #""a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)
        ),
        ("not a JSON object", file("[]")),
        ("colon", file(#"{"a"}"#)),
        ("__metadata__", file(#"{"__metadata__":{"a":1}}"#)),
        ("exactly dtype", file(#"{"a":{"dtype":"U8","shape":[0]}}"#)),
        ("unknown dtype", file(#"{"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}"#, [0])),
        ("whole numbers", file(#"{"a":{"dtype":"U8","shape":[0.5],"data_offsets":[0,1]}}"#, [0])),
        ("whole numbers", file(#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#, [0])),
        ("too large", file(#"{"a":{"dtype":"U8","shape":[4503599627370496,4096],"data_offsets":[0,1]}}"#, [0])),
        ("do not fit", file(#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1]}}"#, [0])),
        ("do not fit", file(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}"#, [0])),
        ("beyond the file", file(#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, [0])),
        ("holes and overlaps", file(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, [0, 0])),
        ("after its last", file(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, [0, 0])),
        ("more than any file", [UInt8](repeating: 0xFF, count: 16)),
        ("UTF-8", file("{\"\u{e9}\":1}").map { $0 == 0xC3 ? 0xFF : $0 }),
    ])
    func malformedFilesAreNamed(_ problem: String, _ bytes: [UInt8]) {
        let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile(bytes: bytes, name: "bad") }
        #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
    }

    @Test func aFileCutAnywhereIsRefused() {
        for length in 0..<Self.good.count {
            #expect(throws: SafetensorsError.self, "cut at \(length)") {
                try SafetensorsFile(bytes: Array(Self.good[..<length]), name: "cut")
            }
        }
    }

    @Test func damagedFilesNeverTrap() {
        var random = SeededGenerator(seed: 7350)
        for _ in 0..<5000 {
            var bytes = Self.good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if let file = try? SafetensorsFile(bytes: bytes, name: "damaged") {
                for tensor in file.tensors.values { #expect(file.bytes(of: tensor).count == tensor.range.count) }
            }
        }
    }

    @Test func aMissingFileIsExplained() {
        let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: "/nowhere/model.safetensors") }
        #expect(error?.description.contains("cannot be opened") == true)
    }
}
