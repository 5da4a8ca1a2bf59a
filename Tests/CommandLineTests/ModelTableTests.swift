import JSONRPC
import Testing

@testable import exemplar

/// What `exemplar model` shows a person.
@Suite struct ModelTableTests {
    /// A file's own words cannot command the terminal that shows them.
    @Test func metadataAreShownWithoutControlCharacters() {
        let table = modelTable([
            "name": "m", "metadata": ["note": "six \u{1B}[2J\u{9B}31m\r\nphotographs", "by": "Ümit 🐈"], "layers": [],
        ])
        #expect(table.contains("note: six �[2J�31m��photographs\n"), "\(table)")
        #expect(table.contains("by: Ümit 🐈\n"), "\(table)")
    }
}
