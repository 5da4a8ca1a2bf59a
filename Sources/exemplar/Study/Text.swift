import Glibc
import JSONRPC

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

extension MeanInterval {
    /// As `5.17 ± 0.03`.
    func text(_ digits: Int, times factor: Double = 1) -> String {
        fixed(mean * factor, digits) + (halfWidth.isFinite ? " ± " + fixed(halfWidth * factor, digits) : "")
    }

    /// {"mean", "low", "high"}: the ends of the 95 % interval, null for a single exemplar.
    var json: JSONValue {
        ["mean": .double(mean), "low": .double(mean - halfWidth), "high": .double(mean + halfWidth)]
    }
}

/// Writes one line of JSON to standard output.
func writeOutput(_ json: JSONValue) throws(CommandError) {
    var text = ByteBuffer()
    text.append(json: json)
    text.append(UInt8(ascii: "\n"))
    try text.withUnsafeBytes { bytes throws(CommandError) in try writeOutput(bytes, to: nil) }
}
