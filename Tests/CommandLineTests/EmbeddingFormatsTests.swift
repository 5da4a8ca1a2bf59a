import JSONRPC
import Testing

@testable import exemplar

@Suite struct EmbeddingFormatsTests {
    static let table = Embeddings(
        model: "m", layers: ["fc"], dimension: 3, values: [0.1, -1e-30, 3, 0, 0, 0])

    @Test func jsonKeepsEveryBit() throws {
        let origins = [
            PatchOrigin(file: "a \"b\".png", position: PatchPosition(x: 1, y: 2)),
            PatchOrigin(file: "c", position: PatchPosition(x: 0, y: 0)),
        ]
        let text = Self.table.json(origins: origins)
        try text.withUnsafeBytes { bytes in
            #expect(bytes.last == UInt8(ascii: "\n"))
            #expect(bytes.count { $0 == UInt8(ascii: "\n") } == 1)
            var scanner = JSONScanner()
            let object = try scanner.scan(UnsafeRawBufferPointer(rebasing: bytes.dropLast())).value
            #expect(object["model"] == "m")
            #expect(object["layers"] == ["fc"])
            #expect(object["dim"] == 3)
            #expect(object["patches"] == [["file": "a \"b\".png", "x": 1, "y": 2], ["file": "c", "x": 0, "y": 0]])
            guard case .array(let rows) = object["embeddings"] else { throw CommandError.failure("no rows") }
            let values = rows.flatMap { row -> [Float] in
                guard case .array(let cells) = row else { return [] }
                return cells.map { cell in
                    switch cell {
                    case .double(let number): Float(number)
                    case .int(let number): Float(number)
                    default: .nan
                    }
                }
            }
            #expect(values.map(\.bitPattern) == Self.table.values.map(\.bitPattern))
        }
    }

    @Test func numpyFilesFollowTheFormat() {
        Self.table.npy().withUnsafeBytes { bytes in
            #expect(bytes.prefix(8).elementsEqual([0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 1, 0]))
            let headerCount = Int(bytes[8]) | Int(bytes[9]) << 8
            #expect((10 + headerCount) % 64 == 0)
            let header = String(decoding: bytes[10..<10 + headerCount], as: UTF8.self)
            #expect(header.hasPrefix("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"))
            #expect(header.hasSuffix(" \n"))
            let values = stride(from: 10 + headerCount, to: bytes.count, by: 4).map {
                Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self)))
            }
            #expect(values == Self.table.values)
        }
    }

    @Test func rowsAreScaledToLengthOneAndZeroRowsStay() {
        var table = Embeddings(model: "m", layers: [], dimension: 2, values: [3, 4, 0, 0, -5, 0])
        table.normalize()
        #expect(table.values == [0.6, 0.8, 0, 0, -1, 0])
    }
}

@Suite struct LayersOptionTests {
    @Test func words() throws {
        #expect(try EmbedRequest.Layers(nil) == .embedding)
        #expect(try EmbedRequest.Layers("all") == .all)
        #expect(try EmbedRequest.Layers("fc,conv1") == .named(["fc", "conv1"]))
        for wrong in ["", ",fc", "fc,"] {
            #expect(throws: CommandError.self) { try EmbedRequest.Layers(wrong) }
        }
    }
}
