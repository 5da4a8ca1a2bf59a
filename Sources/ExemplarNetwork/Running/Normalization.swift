/// Divides every row by its length (L2), in double precision; a row of zeros stays as it is.
///
/// - Parameter values: [rows, dimension], row-major.
package func normalizeRows(_ values: UnsafeMutableBufferPointer<Float>, dimension: Int) {
    guard dimension > 0 else { return }
    for start in stride(from: 0, to: values.count, by: dimension) {
        let row = start..<start + dimension
        let squares = row.reduce(0.0) { $0 + Double(values[$1]) * Double(values[$1]) }
        guard squares > 0 else { continue }
        let length = squares.squareRoot()
        for index in row { values[index] = Float(Double(values[index]) / length) }
    }
}
