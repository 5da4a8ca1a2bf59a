/// "; did you mean X?" for the nearest of the known words, or nothing where none is near.
func didYouMean(_ word: String, among known: [String]) -> String {
    let distances = known.map { (word: $0, distance: editDistance(word, $0)) }
    guard let nearest = distances.min(by: { $0.distance < $1.distance }),
        nearest.distance <= max(1, word.count / 3)
    else { return "" }
    return "; did you mean \(nearest.word)?"
}

/// How many letters must be put in, taken out, changed, or swapped with their neighbour to get from one word to the
/// other (the optimal string alignment distance).
func editDistance(_ first: String, _ second: String) -> Int {
    let a = Array(first)
    let b = Array(second)
    var rows = [Array(0...b.count)]
    for i in 0..<a.count {
        var row = [i + 1]
        for j in 0..<b.count {
            var best = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
            row.append(best)
        }
        rows.append(row)
    }
    return rows[a.count][b.count]
}
