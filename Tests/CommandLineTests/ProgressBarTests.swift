import Testing

@testable import exemplar

@Suite struct ProgressBarTests {
    @Test func shortWorkHasNoBar() {
        var line = ProgressLine(total: 10, unit: "patches")
        for done in 0...10 {
            #expect(line.text(done: done, after: .milliseconds(99 * done)) == nil)
        }
        #expect(!line.isDrawn)
    }

    @Test func longWorkHasOneThatMovesTenTimesASecond() {
        var line = ProgressLine(total: 3000, unit: "patches")
        #expect(line.text(done: 400, after: .milliseconds(999)) == nil)
        #expect(
            line.text(done: 1000, after: .seconds(1))
                == "[##########....................] 1000 of 3000 patches, about 2 s left  ")
        #expect(line.isDrawn)
        #expect(line.text(done: 1010, after: .milliseconds(1099)) == nil)
        let half = line.text(done: 1500, after: .milliseconds(1500))
        #expect(half?.hasPrefix("[###############...............] 1500 of 3000") == true)
        #expect(
            line.text(done: 3000, after: .seconds(3))
                == "[##############################] 3000 of 3000 patches, about 0 s left  ")
    }

    @Test func numbersThatHaveNoSenseDoNoHarm() {
        var line = ProgressLine(total: 2, unit: "patches")
        #expect(line.text(done: 9, after: .seconds(5))?.contains("2 of 2") == true)
        #expect(line.text(done: -9, after: .seconds(6))?.contains("0 of 2") == true)
        var empty = ProgressLine(total: 0, unit: "patches")
        #expect(empty.text(done: 0, after: .seconds(5)) == nil)
    }
}
