import JSONRPC

/// Metrics in Prometheus's text format, version 0.0.4: families one after the other, each with its help, its type and
/// its samples. (prometheus.io, "Exposition formats".)
struct Exposition {
    /// What a family measures.
    enum Kind: String {
        /// Rises, and starts anew with the process.
        case counter
        /// Rises and falls.
        case gauge
        /// Observations counted in cumulative buckets.
        case histogram
    }

    /// One number of a family, told apart from the others by its labels.
    struct Sample {
        let labels: [Label]
        let value: Double

        init(_ value: Double, _ labels: Label...) {
            self.labels = labels
            self.value = value
        }
    }

    struct Label {
        let name: StaticString
        let value: String

        init(_ name: StaticString, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    private(set) var text = ByteBuffer()
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// A family of one sample without labels.
    mutating func add(_ name: StaticString, _ kind: Kind, _ help: StaticString, _ value: Double) {
        add(name, kind, help, [Sample(value)])
    }

    /// A family of several samples, told apart by their labels; none at all where there are no samples.
    mutating func add(_ name: StaticString, _ kind: Kind, _ help: StaticString, _ samples: [Sample]) {
        guard !samples.isEmpty else { return }
        writeHead(name, kind, help)
        for sample in samples { write(name, "", sample.labels, sample.value) }
    }

    /// A histogram.
    ///
    /// - Parameter buckets: upper bounds, rising, and how many observations are at most as large.
    mutating func add(
        _ name: StaticString, _ help: StaticString, buckets: [(bound: Double, cumulative: UInt64)], count: UInt64,
        sum: Double
    ) {
        writeHead(name, .histogram, help)
        for bucket in buckets {
            write(name, "_bucket", [Label("le", Self.number(bucket.bound))], Double(bucket.cumulative))
        }
        write(name, "_bucket", [Label("le", "+Inf")], Double(count))
        write(name, "_sum", [], sum)
        write(name, "_count", [], Double(count))
    }

    private mutating func writeHead(_ name: StaticString, _ kind: Kind, _ help: StaticString) {
        text.append(utf8: "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n")
    }

    private mutating func write(_ name: StaticString, _ suffix: StaticString, _ labels: [Label], _ value: Double) {
        text.append(name)
        text.append(suffix)
        if !labels.isEmpty {
            let pairs = labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }
            text.append(utf8: "{\(pairs.joined(separator: ","))}")
        }
        text.append(utf8: " \(Self.number(value))\n")
    }

    /// Whole numbers without a fraction, as Prometheus writes them itself.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return Int(exactly: value)?.description ?? value.description
    }

    /// A label's value between its quotes: names of models come from files, and may hold anything.
    static func escaped(_ value: String) -> String {
        var result = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
