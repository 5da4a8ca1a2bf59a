import Glibc
import JSONRPC

/// A mean with its 95 % confidence interval, from values that are independent of each other: one for each exemplar,
/// itself the mean over that exemplar's draws, which are not.
struct MeanInterval: Sendable, Equatable {
    var mean: Double
    /// Half the interval's width; infinite for a single value.
    var halfWidth: Double

    init(_ values: [Double]) {
        var running = RunningMean()
        for value in values { running.add(value) }
        mean = running.mean
        let freedom = running.count - 1
        halfWidth =
            freedom > 0
            ? Self.quantile(freedom) * (running.squares / freedom / running.count).squareRoot() : .infinity
    }

    /// The 97.5 % quantile of Student's t, by the expansion of Fisher and Cornish (1960) around the normal one: within
    /// 2 % from 4 degrees of freedom, 0.1 % from 12. Those of fewer are from a table.
    static func quantile(_ freedom: Double) -> Double {
        let least = [12.706_205, 4.302_653, 3.182_446]
        if freedom >= 1, freedom <= 3, let exact = Int(exactly: freedom) { return least[exact - 1] }
        let z = 1.959_963_984_540_054
        let (z3, z5) = (z * z * z, z * z * z * z * z)
        return z + (z3 + z) / (4 * freedom) + (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom * freedom)
    }

    /// The same of values to which `constant` is added.
    func adding(_ constant: Double) -> MeanInterval {
        var result = self
        result.mean += constant
        return result
    }
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

/// A mean of values that come one by one, in one pass (Welford 1962). Equal values have exactly themselves as their
/// mean.
struct RunningMean: Sendable {
    private(set) var count = 0.0
    /// 0 of none.
    private(set) var mean = 0.0
    /// Σ (value − mean)².
    private(set) var squares = 0.0

    mutating func add(_ value: Double) {
        count += 1
        let difference = value - mean
        mean = count == 1 ? value : mean + difference / count
        squares += count == 1 ? 0 : difference * (value - mean)
    }
}

/// A mean, in which equal values have exactly themselves.
func mean(_ values: some Sequence<Double>) -> Double {
    var running = RunningMean()
    for value in values { running.add(value) }
    return running.mean
}
