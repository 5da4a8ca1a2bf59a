import ExemplarNetwork
import Tensors
import TestSupport
import Testing

/// labels.txt, which names the rows of the head.
@Suite struct LabelsTests {
    private static let oracle = ModelTests.oracle

    @Test func labelsAreOneLineForEachRowOfTheHead() throws {
        let folder = try TemporaryModel(Self.oracle, golden: 0)
        #expect(try Model.load(folder: folder.path).labels == nil)
        for (text, labels) in [
            ("a\nb c\nü\nd\n", ["a", "b c", "ü", "d"]), ("a\nb\nc\nd", ["a", "b", "c", "d"]),
            ("a\r\nb\r\n\r\nd\r\n", ["a", "b", "", "d"]), ("\n\n\n\n", ["", "", "", ""]),
        ] {
            try folder.write("labels.txt", Array(text.utf8))
            #expect(try Model.load(folder: folder.path).labels == labels)
        }
        func refusal(_ bytes: [UInt8]) throws -> String {
            try folder.write("labels.txt", bytes)
            let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
            return error?.description ?? ""
        }
        #expect(try refusal(Array("a\nb\nc\n".utf8)).contains("labels.txt: has 3 lines; the head of config.json has 4"))
        #expect(try refusal([]).contains("has 0 lines"))
        #expect(try refusal(Array("a\nb\nc\nd\n\n".utf8)).contains("has 5 lines"))
        #expect(try refusal([0xFF, 0x0A, 0x0A, 0x0A, 0x0A]).contains("labels.txt: is not UTF-8"))
        let long = [UInt8](repeating: UInt8(ascii: "a"), count: 16 << 20 | 1)
        #expect(try refusal(long).contains("labels.txt: is longer than 16777216 bytes"))
    }

    @Test func labelsWantAHead() throws {
        var oracle = Self.oracle
        oracle.configuration.head = nil
        let folder = try TemporaryModel(oracle, golden: 0)
        try folder.write("labels.txt", Array("a\nb\nc\nd\n".utf8))
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        #expect(
            error?.description.contains("labels.txt: config.json names no head") == true, "\(String(describing: error))"
        )
    }

    /// Each line of a file of line feeds would take many times the memory of its byte. Unoptimised, the standard
    /// library's own loops allocate, so this is for `make test-optimized`.
    @Test(.enabled(if: isOptimized && AllocatorStatistics.current() != nil, "optimised builds on jemalloc only"))
    func labelsAreCountedBeforeTheyTakeMemory() throws {
        let folder = try TemporaryModel(Self.oracle, golden: 0)
        let lines = [UInt8](repeating: UInt8(ascii: "\n"), count: 4 << 20)
        try folder.write("labels.txt", lines)
        let before = AllocatorStatistics.bytesAllocatedByThread() ?? 0
        let error = #expect(throws: ModelError.self) { try Model.load(folder: folder.path) }
        #expect(error?.description.contains("has 4194304 lines") == true, "\(String(describing: error))")
        #expect((AllocatorStatistics.bytesAllocatedByThread() ?? 0) - before < 16 * UInt64(lines.count))
    }
}
