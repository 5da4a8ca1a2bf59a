import Glibc
import Safetensors
import TestSupport
import Testing

@Suite struct SafetensorsTests {
    /// A file from its header's text and its data.
    static func file(_ header: String, _ data: [UInt8] = []) -> [UInt8] {
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8) + data
    }

    /// What two such texts mean in Unicode takes minutes to compare.
    static let combiningMarks = "a" + String(repeating: "\u{301}\u{323}", count: 60_000)

    static let good = file(
        #"{"__metadata__":{"by":"test"},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"#
            + #""b":{"dtype":"BF16","shape":[1,1],"data_offsets":[4,6]},"#
            + #""c":{"dtype":"F32","shape":[],"data_offsets":[6,10]}}"#,
        [0x00, 0x3C, 0x01, 0x80, 0xC0, 0x3F, 0x00, 0x00, 0x20, 0xC1])

    @Test func everyTypeOfFloatIsReadUnaligned() throws {
        let file = try SafetensorsFile(bytes: Self.good, name: "good")
        #expect(file.tensors.keys.sorted() == ["a", "b", "c"] && file.metadata == ["by": "test"])
        #expect(file.floats(of: try #require(file.tensors["a"])) == [1, -0x1p-24])
        #expect(file.floats(of: try #require(file.tensors["b"])) == [1.5])
        #expect(file.floats(of: try #require(file.tensors["c"])) == [-10])
        #expect(file.tensors["c"]?.shape == [])
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
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
            ("key of more than 256 bytes", file("{\"\(combiningMarks)\":0}")),
            (
                "unknown dtype",
                file("{\"a\":{\"dtype\":\"\(combiningMarks)\",\"shape\":[1],\"data_offsets\":[0,1]}}", [0])
            ),
            ("unknown dtype", file(#"{"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}"#, [0])),
            ("whole numbers", file(#"{"a":{"dtype":"U8","shape":[0.5],"data_offsets":[0,1]}}"#, [0])),
            ("whole numbers", file(#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#, [0])),
            ("too large", file(#"{"a":{"dtype":"U8","shape":[4503599627370496,4096],"data_offsets":[0,1]}}"#, [0])),
            ("do not fit", file(#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1]}}"#, [0])),
            ("do not fit", file(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}"#, [0])),
            ("beyond the file", file(#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, [0])),
            ("holes and overlaps", file(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, [0, 0])),
            ("after its last", file(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, [0, 0])),
            ("at most 100000000 are read", [UInt8](repeating: 0xFF, count: 16)),
            ("extents", file(#"{"a":{"dtype":"U8","shape":[0,0,0,0,0,0,0,0,0],"data_offsets":[0,0]}}"#)),
            ("UTF-8", file("{\"\u{e9}\":1}").map { $0 == 0xC3 ? 0xFF : $0 }),
        ])
    func malformedFilesAreNamed(_ problem: String, _ bytes: [UInt8]) {
        let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile(bytes: bytes, name: "bad") }
        #expect((error?.description.utf8.count ?? 0) < 5000)
        #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
    }

    /// The largest finite number, an infinity and a NaN of each type, at the end of a tensor after others.
    @Test(arguments: [
        ("F32", [0xFF, 0xFF, 0x7F, 0xFF], [0x00, 0x00, 0x80, 0x7F], [0x01, 0x00, 0x80, 0xFF]),
        ("F16", [0xFF, 0xFB], [0x00, 0x7C], [0x01, 0xFC]), ("BF16", [0x7F, 0xFF], [0x80, 0x7F], [0x81, 0xFF]),
    ])
    func whatIsNotFiniteIsFound(_ type: String, _ finite: [UInt8], _ infinity: [UInt8], _ nan: [UInt8]) throws {
        for (last, isFinite) in [(finite, true), (infinity, false), (nan, false)] {
            for count in [1, 2, 67] {
                let data = [UInt8](repeating: 0, count: (count - 1) * last.count) + last
                let header =
                    #"{"a":{"dtype":"\#(type)","shape":[\#(count)],"data_offsets":[0,\#(data.count)]}}"#
                let file = try SafetensorsFile(bytes: Self.file(header, data), name: "finite")
                let tensor = try #require(file.tensors["a"])
                #expect(file.isFinite(tensor) == isFinite, "\(count) values, the last \(last)")
                #expect(file.floats(of: tensor)?.last?.isFinite == isFinite)
            }
        }
    }

    /// Each zero of such a shape takes more memory than its two bytes in the file, for which alone memory was asked.
    @Test func aHeaderHoldsSoManyValuesAndBytes() throws {
        func refusal(_ header: String) -> String {
            let error = #expect(throws: SafetensorsError.self) {
                try SafetensorsFile(bytes: Self.file(header), name: "long")
            }
            return error?.description ?? ""
        }
        func shape(_ extents: Int) -> String {
            let zeros = [String](repeating: "0", count: extents).joined(separator: ",")
            return #"{"a":{"dtype":"U8","shape":[\#(zeros)],"data_offsets":[0,0]}}"#
        }
        // Beside the zeros: the header, the tensor, its type, shape and offsets.
        let most = JSONValue.maximumCount - 7
        #expect(refusal(shape(most)) == "long: the tensor a has a shape of \(most) extents; at most 8 are read")
        #expect(refusal(shape(most + 1)).hasPrefix("long: its header has more than \(JSONValue.maximumCount) values"))
        let spaces = String(repeating: " ", count: 1 << 20)
        #expect(try SafetensorsFile(bytes: Self.file("{\(spaces)}"), name: "long").tensors.isEmpty)
        for (length, reason) in [(100_000_000, "truncated"), (100_000_001, "at most 100000000 are read")] {
            let bytes = withUnsafeBytes(of: UInt64(length).littleEndian) { Array($0) } + Array("{}".utf8)
            let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile(bytes: bytes, name: "long") }
            #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
        }
    }

    @Test func aHeaderOfThousandsOfTensorsIsRead() throws {
        let members = (0..<10_000).map {
            #""layers.\#($0).weight":{"dtype":"F16","shape":[1,1,1,1],"data_offsets":[\#(2 * $0),\#(2 * $0 + 2)]}"#
        }
        let bytes = Self.file("{\(members.joined(separator: ","))}", [UInt8](repeating: 0, count: 20_000))
        #expect(try SafetensorsFile(bytes: bytes, name: "many").tensors.count == 10_000)
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
    /// A file on disk; gone with the last reference.
    private final class StoredFile {
        let path: String

        init(_ bytes: [UInt8]) {
            var template = Array("/tmp/exemplar-safetensors-XXXXXX".utf8CString)
            close(mkstemp(&template))
            path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
            append(bytes)
        }

        func append(_ bytes: [UInt8]) {
            let file = open(path, O_WRONLY | O_APPEND)
            #expect(write(file, bytes, bytes.count) == bytes.count)
            close(file)
        }

        deinit { unlink(path) }
    }

    /// What `cp new old` does first.
    @Test func aFileThatIsCutLaterStaysAsItWasRead() throws {
        let stored = StoredFile(Self.good)
        let file = try SafetensorsFile(path: stored.path)
        #expect(truncate(stored.path, 0) == 0)
        #expect(Array(file.bytes) == Self.good)
        #expect(file.floats(of: try #require(file.tensors["c"])) == [-10])
    }

    @Test func aFileThatChangesWhileItIsReadIsRefused() throws {
        for change in ["cut", "grown", "rewritten", "nothing"] {
            let stored = StoredFile(Self.good)
            let opened = try OpenedFile(path: stored.path)
            #expect(opened.byteCount == Self.good.count)
            switch change {
            case "cut": #expect(truncate(stored.path, 9) == 0)
            case "grown": stored.append([0])
            case "rewritten":
                #expect(utimes(stored.path, [timeval(tv_sec: 1, tv_usec: 0), timeval(tv_sec: 1, tv_usec: 0)]) == 0)
            default:
                let file = try SafetensorsFile(reading: opened)
                withExtendedLifetime(file) { #expect(Array(file.bytes) == Self.good) }
                continue
            }
            do {
                _ = try SafetensorsFile(reading: opened)
                Issue.record("a file that was \(change) is taken")
            } catch {
                #expect(error.description.contains("\(stored.path): was changed while"), "\(change): \(error)")
            }
        }
    }

    @Test func whatIsNoFileIsExplained() throws {
        let stored = StoredFile([])
        func refusal(_ path: String) -> String {
            let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
            return error?.description ?? ""
        }
        #expect(refusal(stored.path) == "\(stored.path): is empty")
        #expect(refusal("/tmp") == "/tmp: is not a regular file")
        // Not even where nobody writes into it.
        let pipe = stored.path + ".pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        defer { unlink(pipe) }
        #expect(refusal(pipe) == "\(pipe): is not a regular file")
        // More than the machine has, without a block on the disk.
        #expect(truncate(stored.path, 1 << 43) == 0)
        #expect(refusal(stored.path).contains("there is no memory for its \(1 << 43) bytes"))
    }
}
