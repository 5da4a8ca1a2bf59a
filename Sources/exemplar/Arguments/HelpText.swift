/// The layout of help texts: two columns, wrapped to the width of a terminal.
enum HelpText {
    static let width = 96
    static let column = 26

    /// Rows of a name and its explanation, each ended by a line feed.
    static func table(_ rows: [(String, String)]) -> String {
        rows.map { name, explanation in
            var lines = wrapped(explanation, to: width - column)
            var first = "  " + name
            if first.count < column - 1 {
                first += String(repeating: " ", count: column - first.count)
                if !lines.isEmpty { first += lines.removeFirst() }
            }
            let rest = lines.map { String(repeating: " ", count: column) + $0 }
            return ([first] + rest).map { $0 + "\n" }.joined()
        }.joined()
    }

    /// Words filled into lines of at most `width` characters; a line feed in the text stays one.
    static func wrapped(_ text: String, to width: Int) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { paragraph -> [String] in
            var lines = [""]
            for word in paragraph.split(separator: " ") {
                let line = lines[lines.count - 1]
                if line.isEmpty {
                    lines[lines.count - 1] = String(word)
                } else if line.count + 1 + word.count <= width {
                    lines[lines.count - 1] = line + " " + word
                } else {
                    lines.append(String(word))
                }
            }
            return lines
        }
    }

    /// The row of an option: what it does, then where else it is set and what it is without.
    static func row(_ option: Option) -> (String, String) {
        var notes: [String] = []
        if option.repeats { notes.append("may be repeated") }
        if let variable = option.environment { notes.append(variable) }
        if let value = option.defaultValue { notes.append("default: \(value)") }
        return (option.synopsis, option.help + (notes.isEmpty ? "" : " [\(notes.joined(separator: "; "))]"))
    }
}
