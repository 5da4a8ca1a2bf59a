import Glibc
import KernelInterface
import TestSupport
import Testing

@testable import ExemplarNetwork

func now() -> Double {
    var t = timespec()
    clock_gettime(CLOCK_MONOTONIC, &t)
    return Double(t.tv_sec) + Double(t.tv_nsec) * 1e-9
}

@Suite(.serialized) struct ScratchBench {
    static let nets: [(String, [LayerConfiguration])] = [
        (
            "small",
            [
                .convolution("conv1", 64, kernel: 5, padding: 2), .maxPool("p1", kernel: 2, stride: 2),
                .convolution("conv2", 64, kernel: 5, padding: 2), .maxPool("p2", kernel: 2, stride: 2),
                .linear("fc", 128),
            ]
        ),
        (
            "medium",
            [
                .convolution("conv1", 64, kernel: 5, padding: 2), .maxPool("p1", kernel: 2, stride: 2),
                .convolution("conv2", 128, kernel: 5, padding: 2), .maxPool("p2", kernel: 2, stride: 2),
                .convolution("conv3", 256, kernel: 5, padding: 2), .linear("fc", 512),
            ]
        ),
        (
            "large",
            [
                .convolution("conv1", 92, kernel: 5, padding: 2), .maxPool("p1", kernel: 2, stride: 2),
                .convolution("conv2", 256, kernel: 5, padding: 2), .maxPool("p2", kernel: 2, stride: 2),
                .convolution("conv3", 512, kernel: 5, padding: 2), .linear("fc", 1024),
            ]
        ),
    ]
    static func random(_ configuration: NetworkConfiguration) -> Oracle {
        Oracle.random(configuration, seed: 1)
    }
    @Test func bench() throws {
        let which = (getenv("NETS").map { String(cString: $0) } ?? "small,medium").split(separator: ",").map(
            String.init)
        let isas = (getenv("ISAS").map { String(cString: $0) } ?? "avx512").split(separator: ",").map(String.init)
        let accs = (getenv("ACCS").map { String(cString: $0) } ?? "standard").split(separator: ",").map(String.init)
        for (name, layers) in Self.nets where which.contains(name) {
            let configuration = NetworkConfiguration.sequence(layers, height: 32, width: 32, channels: 3)
            let oracle = Self.random(configuration)
            for isa in isas {
                for acc in accs {
                    let network = getenv("HALF") == nil ? try Network(oracle, InstructionSet(rawValue: isa)!, Accuracy(rawValue: acc)!) : try Network(configuration: configuration, layers: PlannedLayer.sequence(configuration), kernels: KernelTable.table(for: InstructionSet(rawValue: isa)!)!, weightType: { _ in .float16 }, algorithm: { AlgorithmChoice.winograd($0, accuracy: Accuracy(rawValue: acc)!, images: $1) }, parameters: { t throws(ModelError) in oracle.parameters[t]!.map { Float($0) } })
                    for step in network.plan.steps {
                        if case .winograd(let c, _) = step {
                            print(c.algorithm, "block", c.blockSize, terminator: "; ")
                        }
                    }
                    print("group", network.plan.groupSize)
                    for batch in [1, 8, 64] {
                        let embedder = try Embedder(network: network, maximumBatch: batch)
                        let patches = RandomPatches(configuration.input, count: batch, seed: 2)
                        patches.withPixels { pixels in
                            var last: [Double] = []
                            for layer in layers.indices where batch == 64 && layers[layer].type != "max_pool" {
                                let selection = LayerSelection(indices: [layer])
                                var times: [Double] = []
                                for _ in 0..<7 {
                                    let t = now()
                                    for _ in 0..<3 { _ = embedder.embed(pixels, selection) }
                                    times.append((now() - t) / 3)
                                }
                                last.append(times.sorted()[2] / Double(batch) * 1e6)
                            }
                            var times: [Double] = []
                            let selection = LayerSelection(indices: [layers.count - 1])
                            for _ in 0..<15 {
                                let t = now()
                                var n = 0
                                while now() - t < 0.03 { _ = embedder.embed(pixels, selection); n += 1 }
                                times.append((now() - t) / Double(n * batch))
                            }
                            let median = times.sorted()[times.count / 2]
                            print(
                                name, isa, acc, "batch", batch, "patches/s", Int(1 / median), "best",
                                Int(1 / times.min()!),
                                last.map { Int($0) })
                        }
                        _ = embedder
                    }
                    let oraclePixels = RandomPatches(configuration.input, count: 2, seed: 2)
                    if getenv("CHECK") != nil {
                        let embedder = try Embedder(network: network, maximumBatch: 2)
                        let sel = LayerSelection(indices: layers.indices.filter { layers[$0].type != "max_pool" })
                        let r = oraclePixels.withPixels { embedder.embed($0, sel) }
                        let out = oracle.outputs(for: oraclePixels.pixels(0))
                        var o = 0
                        for i in sel.indices {
                            let v = out[layers[i].name]!.values
                            print(layers[i].name, relativeRMS(Array(r[0][o..<o + v.count]), v))
                            o += v.count
                        }
                    }
                }
            }
        }
    }
}
