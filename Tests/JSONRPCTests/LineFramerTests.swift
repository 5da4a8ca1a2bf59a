import JSONRPC
import Testing

@Suite struct LineFramerTests {
    /// The frames of `chunks`, fed one after the other; nil stands for a line that was too long.
    private func frames(_ chunks: [ArraySlice<UInt8>], limit: Int) -> [String?] {
        var framer = LineFramer(maxLineBytes: limit)
        var result: [String?] = []
        for chunk in chunks {
            Array(chunk).withUnsafeBytes { framer.append($0) }
            while let frame = framer.nextLine() {
                switch frame {
                case .line(let bytes): result.append(String(decoding: bytes, as: UTF8.self))
                case .tooLong: result.append(nil)
                }
            }
        }
        return result
    }

    @Test func everySplitPointOfEveryGoldenLineGivesTheSameFrames() {
        let longest = goldenLines.map(\.utf8.count).max() ?? 0
        for line in goldenLines {
            for ending in ["\n", "\r\n", "\n\n\r\n"] {
                let stream = Array("\(line)\(ending){\"next\":1}\n".utf8)
                for split in 0...stream.count {
                    let found = frames([stream[..<split], stream[split...]], limit: longest + 1)
                    #expect(found == [line, "{\"next\":1}"], "split at \(split)")
                }
            }
        }
    }

    @Test func bytesFedOneByOneGiveTheSameFrames() {
        let stream = Array((goldenLines.joined(separator: "\r\n") + "\n").utf8)
        #expect(frames(stream.indices.map { stream[$0...$0] }, limit: 4096) == goldenLines)
    }

    @Test func emptyLinesAreIgnored() {
        #expect(frames([Array("\n\r\n\n\n\r\n".utf8)[...]], limit: 10).isEmpty)
        #expect(frames([Array("\n\na\n\n\r\nb\n".utf8)[...]], limit: 10) == ["a", "b"])
    }

    @Test func onlyTheCarriageReturnBeforeTheLineFeedIsDropped() {
        #expect(frames([Array("a\rb\r\r\n".utf8)[...]], limit: 10) == ["a\rb\r"])
    }

    @Test func halfALineIsNoFrame() {
        var framer = LineFramer(maxLineBytes: 100)
        Array("{\"id\":1".utf8).withUnsafeBytes { framer.append($0) }
        #expect(framer.nextLine() == nil)
        #expect(framer.isInsideLine && framer.pendingByteCount == 7)
    }

    /// The limit itself passes, one byte more does not, wherever the stream is cut and whatever surrounds it.
    @Test(arguments: [1, 2, 16, 33]) func theLimitIsExact(limit: Int) {
        let fits = String(repeating: "x", count: limit)
        let stream = Array("a\n\(fits)\n\(fits)y\nb\n\(fits)yyyyyyyyyyy\nc\n".utf8)
        for first in 0...stream.count {
            for second in stride(from: first, through: stream.count, by: 7) {
                let found = frames([stream[..<first], stream[first..<second], stream[second...]], limit: limit)
                #expect(found == ["a", fits, nil, "b", nil, "c"], "split at \(first) and \(second)")
            }
        }
    }

    /// The CR before an LF is no part of the line, wherever the stream is cut.
    @Test func theLimitLeavesTheCarriageReturnOut() {
        let stream = Array("1234\r\n1234\r5\n12345\r\nok\n".utf8)
        for first in 0...stream.count {
            for second in first...stream.count {
                let found = frames([stream[..<first], stream[first..<second], stream[second...]], limit: 4)
                #expect(found == ["1234", nil, nil, "ok"], "split at \(first) and \(second)")
            }
        }
    }

    /// TLS, and whatever else begins as no text does, is handed out before its line ends, once, and none of it is kept.
    @Test(arguments: [0x16, 0x00, 0x7F, 0x80, 0xFF] as [UInt8]) func whatIsNoTextIsHandedOutAtOnce(first: UInt8) {
        var framer = LineFramer(maxLineBytes: 1 << 20)
        let noise = [first] + [UInt8](repeating: UInt8(ascii: "x"), count: 1000)
        noise.withUnsafeBytes { framer.append($0) }
        guard case .line(let line)? = framer.nextLine() else {
            Issue.record("nothing was handed out")
            return
        }
        #expect(line.elementsEqual([first]))
        for _ in 0..<3 {
            #expect(framer.nextLine() == nil)
            noise.withUnsafeBytes { framer.append($0) }
        }
        #expect(framer.pendingByteCount == 0 && framer.isInsideLine)
        Array("\nok\n".utf8).withUnsafeBytes { framer.append($0) }
        guard case .line(let next)? = framer.nextLine() else {
            Issue.record("the next line is missing")
            return
        }
        #expect(next.elementsEqual("ok".utf8))
        // The same frames wherever the stream is cut.
        let stream = noise.prefix(8) + Array("\n{}\n".utf8)
        for split in 0...stream.count {
            let found = frames([stream[..<split], stream[split...]], limit: 100)
            #expect(found == [String(decoding: [first], as: UTF8.self), "{}"], "split at \(split)")
        }
    }

    @Test func aLongLineIsAnnouncedAtOnceAndNotStored() {
        var framer = LineFramer(maxLineBytes: 1 << 20)
        let chunk = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 16)
        var announcedAfter: Int?
        for round in 1...1000 {
            chunk.withUnsafeBytes { framer.append($0) }
            while let frame = framer.nextLine() {
                guard case .tooLong = frame else {
                    Issue.record("a line came out")
                    return
                }
                #expect(announcedAfter == nil)
                announcedAfter = round
            }
            if announcedAfter != nil { #expect(framer.pendingByteCount == 0 && framer.capacity <= 1 << 16) }
        }
        #expect(announcedAfter == 17)
        #expect(framer.isInsideLine)
        Array("\nok\n".utf8).withUnsafeBytes { framer.append($0) }
        guard case .line(let line)? = framer.nextLine() else {
            Issue.record("the line after the long one is missing")
            return
        }
        #expect(String(decoding: line, as: UTF8.self) == "ok")
    }

    /// A server may have to wait before it asks for the next line, and must not hold this one so long.
    @Test func aLineIsReleasedBeforeTheNextIsAskedFor() {
        var framer = LineFramer(maxLineBytes: 1 << 20)
        Array(repeating: UInt8(ascii: "x"), count: 1 << 20).withUnsafeBytes { framer.append($0) }
        Array("\nrest".utf8).withUnsafeBytes { framer.append($0) }
        guard case .line? = framer.nextLine() else {
            Issue.record("no line")
            return
        }
        #expect(framer.capacity >= 1 << 20)
        framer.releaseLine()
        #expect(framer.pendingByteCount == 4 && framer.isInsideLine)
        #expect(framer.capacity <= 64 << 10, "the start of a line keeps no storage of those before it")
        Array("\n".utf8).withUnsafeBytes { framer.append($0) }
        guard case .line(let line)? = framer.nextLine() else {
            Issue.record("no second line")
            return
        }
        #expect(line.elementsEqual("rest".utf8))
        framer.releaseLine()
        #expect(framer.capacity <= 64 << 10)
    }

    /// Whoever rests between lines holds nothing; whoever is inside one keeps it.
    @Test func storageIsGivenBackBetweenLines() {
        var framer = LineFramer(maxLineBytes: 1 << 20)
        let line = [UInt8](repeating: UInt8(ascii: "x"), count: 50_000) + [0x0A]
        line.withUnsafeBytes { framer.append($0) }
        while framer.nextLine() != nil {}
        #expect(framer.capacity >= line.count, "kept for the next line")
        framer.releaseStorage()
        #expect(framer.capacity == 0 && !framer.isInsideLine)
        line.prefix(3).withUnsafeBytes { framer.append($0) }
        #expect(framer.nextLine() == nil)
        framer.releaseStorage()
        #expect(framer.pendingByteCount == 3 && framer.isInsideLine)
    }

    @Test func storageShrinksOnceTheLinesAreTaken() {
        var framer = LineFramer(maxLineBytes: 4 << 20)
        let line = [UInt8](repeating: UInt8(ascii: "x"), count: 3 << 20) + [0x0A]
        line.withUnsafeBytes { framer.append($0) }
        #expect(framer.capacity >= line.count)
        guard case .line(let found)? = framer.nextLine() else {
            Issue.record("no line")
            return
        }
        #expect(found.count == line.count - 1)
        #expect(framer.nextLine() == nil)
        #expect(framer.capacity <= 64 * 1024)
    }

    /// A long line in many small chunks costs time in proportion to its length: no byte is searched or moved again and
    /// again. Counted in bytes moved rather than in seconds: the storage grows by doubling.
    @Test func storageGrowsGeometrically() {
        var framer = LineFramer(maxLineBytes: 4 << 20)
        var growths = 0
        var capacity = 0
        let chunk = [UInt8](repeating: UInt8(ascii: "x"), count: 512)
        for _ in 0..<4096 {
            chunk.withUnsafeBytes { framer.append($0) }
            #expect(framer.nextLine() == nil)
            if framer.capacity != capacity { growths += 1 }
            capacity = framer.capacity
        }
        #expect(growths <= 14)
    }
}
