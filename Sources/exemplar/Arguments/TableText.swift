import Glibc

/// A number with so many digits after the point.
func fixed(_ number: Double, _ digits: Int) -> String {
    guard number.isFinite, abs(number) < 1e12 else { return number.isNaN ? "nan" : number < 0 ? "-inf" : "inf" }
    let unit = pow(10, Double(digits))
    let scaled = Int((abs(number) * unit).rounded())
    let sign = number < 0 && scaled > 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(scaled)" }
    let fraction = String(scaled % Int(unit))
    return "\(sign)\(scaled / Int(unit))." + String(repeating: "0", count: digits - fraction.count) + fraction
}

/// Rows with their columns under one another, each ended by a line feed.
func aligned(_ rows: [[String]]) -> String {
    var widths: [Int] = []
    for row in rows {
        for (column, cell) in row.enumerated() {
            if column == widths.count { widths.append(0) }
            widths[column] = max(widths[column], cell.count)
        }
    }
    return rows.map { row in
        row.enumerated().map { column, cell in
            column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] + 2 - cell.count)
        }.joined() + "\n"
    }.joined()
}
