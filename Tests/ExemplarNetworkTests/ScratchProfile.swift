import Glibc
import KernelInterface
import TestSupport
import Testing

@testable import ExemplarNetwork

nonisolated(unsafe) var spent: [String: (Double, Int)] = [:]
nonisolated(unsafe) var samples: [String: [Double]] = [:]
func timed(_ key: String, _ body: () -> Void) {
    let t = now(); body(); let d = now() - t
    spent[key, default: (0, 0)].0 += d
    spent[key]!.1 += 1
    samples[key, default: []].append(d)
}

@Suite(.serialized) struct ScratchProfile {
    @Test func profile() throws {
        let which = (getenv("NETS").map { String(cString: $0) } ?? "small,medium").split(separator: ",").map(
            String.init)
        for (name, layers) in ScratchBench.nets where which.contains(name) {
            let configuration = NetworkConfiguration.sequence(layers, height: 32, width: 32, channels: 3)
            let oracle = ScratchBench.random(configuration)
            let table = KernelTable.table(for: .best)!
            var kernels = table
            kernels.multiplyPanel = { a in
                timed("multiply \(a.tuples) K\(a.segments[0].length) rows \(a.rows)") { table.multiplyPanel(a) }
            }
            kernels.transformInput = { a in timed("in \(a.vectors)") { table.transformInput(a) } }
            kernels.transformOutput = { a in timed("out \(a.columns)") { table.transformOutput(a) } }
            kernels.maxPool = { a in timed("pool") { table.maxPool(a) } }
            let network = try Network(
                configuration: configuration, layers: PlannedLayer.sequence(configuration), kernels: kernels,
                algorithm: { AlgorithmChoice.winograd($0, accuracy: .standard, images: $1) }
            ) { t throws(ModelError) in oracle.parameters[t]!.map { Float($0) } }
            for batch in [64] {
                let embedder = try Embedder(network: network, maximumBatch: batch)
                let patches = RandomPatches(configuration.input, count: batch, seed: 2)
                let selection = LayerSelection(indices: [layers.count - 1])
                patches.withPixels { pixels in
                    _ = embedder.embed(pixels, selection)
                    spent = [:]
                    samples = [:]
                    let t = now()
                    for _ in 0..<20 { _ = embedder.embed(pixels, selection) }
                    let total = (now() - t) / Double(20 * batch) * 1e6
                    print(name, "total us/patch", total)
                    for (k, v) in spent.sorted(by: { $0.value.0 > $1.value.0 }) {
                        let q = samples[k]!.sorted()[samples[k]!.count / 5]
                        print(
                            "  ", k, "us/patch", v.0 / Double(20 * batch) * 1e6, "q20",
                            q * Double(v.1) / Double(20 * batch) * 1e6, "calls/patch", Double(v.1) / Double(20 * batch))
                    }
                }
            }
        }
    }
}
