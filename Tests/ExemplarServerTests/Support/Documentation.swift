import FoundationEssentials
import TestSupport

/// A table of a document in `docs`, found by its first column's title, the first below a heading.
struct DocumentedTable {
    /// Cells of each row.
    let rows: [[String]]

    init(_ title: String, in document: String, below heading: String) throws {
        let docs = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../docs")
        let text = try String(contentsOf: docs.appending(path: document), encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(of: heading[...]),
            let head = lines[start...].firstIndex(where: { $0.hasPrefix("| \(title) |") })
        else { throw TestFailure("\(document) has no table of \(title) below \(heading)") }
        // Behind the line of dashes.
        rows = lines[(head + 2)...].prefix { $0.hasPrefix("|") }.map { line in
            line.dropFirst(2).dropLast(2).split(separator: " | ").map(String.init)
        }
    }

    /// What stands in backquotes.
    static func code(in cell: String) -> [String] {
        cell.matches(of: /`([^`]+)`/).map { String($0.output.1) }
    }
}
