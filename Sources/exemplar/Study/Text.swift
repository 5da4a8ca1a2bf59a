import JSONRPC

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
