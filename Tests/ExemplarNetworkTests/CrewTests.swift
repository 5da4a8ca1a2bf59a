import KernelInterface
import Platform
import TestSupport
import Testing

@testable import ExemplarNetwork

/// Several threads over one batch: the bits are those of one thread.
@Suite struct CrewTests {
    @Test(arguments: NetworkTests.cases.indices, [2, 3, 6])
    func membersChangeNoBit(index: Int, members: Int) throws {
        let (name, configuration) = (NetworkTests.cases[index].name, NetworkTests.cases[index].configuration)
        let oracle = Oracle.random(configuration, seed: 5)
        let crew = try Crew(count: members, startThread: startThread)
        // A sanitizer looks for races, which are those of any instruction set.
        for instructionSet in InstructionSet.available.suffix(isInstrumented ? 1 : 3) {
            var plans: [[String]] = []
            for accuracy in Accuracy.allCases {
                let network = try Network(oracle, instructionSet, accuracy)
                // The same plan would show the same again.
                let plan = network.entries(.throughput).map(\.algorithm)
                guard !plans.contains(plan) else { continue }
                plans.append(plan)
                let alone = try Embedder(network: network, maximumBatch: 30, poisoned: true)
                let together = try Embedder(network: network, maximumBatch: 30, members: members, poisoned: true)
                let all = LayerSelection(indices: network.layers.indices.filter { network.layers[$0].isSelectable })
                // Split within layers; whole images, as many for each member or not.
                for count in [1, 2, 5, 7, 12, 30] {
                    RandomPatches(configuration.input, count: count, seed: 6).withPixels { pixels in
                        let expected = alone.embed(pixels, all)
                        // Again and again: a race shows seldom.
                        for round in 0..<5 {
                            // Their assistants wait awake or asleep.
                            #expect(crew.take(expectingMore: round % 2 == 0))
                            defer { crew.release() }
                            let rows = together.embed(pixels, all, crew: crew)
                            #expect(rows.rows == count)
                            for row in 0..<count {
                                #expect(
                                    rows[row].elementsEqual(expected[row], by: { $0.bitPattern == $1.bitPattern }),
                                    "\(name), \(instructionSet), \(accuracy), \(count), row \(row)")
                            }
                        }
                    }
                }
            }
        }
    }

    @Test func oneCallerAtATime() throws {
        let crew = try Crew(count: 2, startThread: startThread)
        #expect(crew.take())
        #expect(!crew.take())
        crew.release()
        #expect(crew.take())
    }
}
