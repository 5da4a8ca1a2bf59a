import KernelInterface

/// Seconds spent in each kernel of one thread's forward passes.
///
/// The kernels of a table are wrapped, so that what is timed is the network itself, with its own schedule and caches.
final class KernelTimes: @unchecked Sendable {
    enum Phase: String, CaseIterable {
        case pointwise
        case product
        case inputTransform = "input transform"
        case tupleMultiplication = "tuple multiplication"
        case outputTransform = "output transform"
        case pooling
    }

    private var seconds = [Double](repeating: 0, count: Phase.allCases.count)
    private var calls = [Int](repeating: 0, count: Phase.allCases.count)
    /// Elements of a transformed tile, by which the Winograd algorithm is known; 1 where there was none.
    private(set) var tuples = 1
    /// What reading the clock twice adds to each call.
    private let overhead: Double

    init() {
        let samples = (0..<1000).map { _ in
            let start = secondsNow()
            return secondsNow() - start
        }
        overhead = samples.median
    }

    /// Seconds of each phase in the passes that ended, one element a pass.
    private var passes = [[Double]](repeating: [], count: Phase.allCases.count)

    func endPass() {
        for phase in seconds.indices {
            if calls[phase] > 0 { passes[phase].append(max(seconds[phase] - Double(calls[phase]) * overhead, 0)) }
            seconds[phase] = 0
            calls[phase] = 0
        }
    }

    func forgetPasses() {
        endPass()
        for phase in passes.indices { passes[phase] = [] }
    }

    /// `summary` of the seconds that each phase took in one pass, for the phases that ran.
    func perPass(_ summary: ([Double]) -> Double) -> [String: Double] {
        var result: [String: Double] = [:]
        for (index, phase) in Phase.allCases.enumerated() where !passes[index].isEmpty {
            result[phase.rawValue] = summary(passes[index])
        }
        return result
    }

    /// `table` with a clock around each kernel that embeddings of plain patches call: not those that transform patches,
    /// or take means of larger maps.
    func timing(_ table: KernelTable) -> KernelTable {
        let indices = Dictionary(uniqueKeysWithValues: Phase.allCases.enumerated().map { ($1, $0) })
        func index(_ phase: Phase) -> Int { indices[phase] ?? 0 }
        let (pointwise, product) = (index(.pointwise), index(.product))
        let (input, tuples, output) = (
            index(.inputTransform), index(.tupleMultiplication), index(.outputTransform)
        )
        let pooling = index(.pooling)
        var timed = table
        timed.multiplyPanel = { arguments in
            // A 1×1 convolution of a network's few input channels only feeds the layer that is measured.
            let isPointwise = arguments.segmentCount == 1 && arguments.segments[0].length <= 16
            self.time(arguments.tuples > 1 ? tuples : isPointwise ? pointwise : product) {
                table.multiplyPanel(arguments)
            }
        }
        timed.transformInput = { arguments in self.time(input) { table.transformInput(arguments) } }
        timed.transformNarrowInput = { arguments in self.time(input) { table.transformNarrowInput(arguments) } }
        timed.transformOutput = { arguments in
            self.tuples = max(self.tuples, arguments.shape.products * arguments.shape.products)
            self.time(output) { table.transformOutput(arguments) }
        }
        timed.maxPool = { arguments in self.time(pooling) { table.maxPool(arguments) } }
        return timed
    }

    @inline(__always)
    private func time(_ phase: Int, _ body: () -> Void) {
        let start = secondsNow()
        body()
        seconds[phase] += secondsNow() - start
        calls[phase] += 1
    }
}
