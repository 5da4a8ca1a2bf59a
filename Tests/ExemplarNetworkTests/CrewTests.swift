import FoundationEssentials
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
                for count in [1, 2, 5, 7, 12] + (isInstrumented ? [] : [30]) {
                    RandomPatches(configuration.input, count: count, seed: 6).withPixels { pixels in
                        let expected = alone.embed(pixels, all)
                        // Again and again: a race shows seldom, but to a sanitizer.
                        for round in 0..<(isInstrumented ? 2 : 5) {
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

    /// Whole patches from two a member on, where the largest part is at most 1 + members/16 times an even one.
    @Test(arguments: [
        (images: 2, members: 1, isApart: false), (3, 2, false), (4, 2, true), (5, 2, false), (7, 2, false),
        (9, 2, true), (9, 4, false), (10, 4, true), (11, 6, false), (13, 6, false), (14, 6, true), (17, 8, true),
    ])
    func wholePatchesAreForEvenParts(images: Int, members: Int, isApart: Bool) {
        #expect(Embedder.computesApart(images: images, members: members) == isApart)
    }

    /// Whole patches have their maps in a region of their member's own; the second one's keeps its poison where layers
    /// are divided.
    @Test(arguments: [(3, false), (4, true), (5, false)])
    func theRuleIsFollowed(count: Int, isApart: Bool) throws {
        let configuration = NetworkConfiguration.sequence(
            [
                .convolution("conv", 16, kernel: 7, padding: 3), .maxPool("pool", kernel: 3, stride: 2),
                .linear("fc", 4),
            ], height: 12, width: 12, channels: 3)
        let network = try Network(.random(configuration, seed: 7), .best)
        let crew = try Crew(count: 2, startThread: startThread)
        let embedder = try Embedder(network: network, maximumBatch: 5, members: 2, poisoned: true)
        #expect(crew.take())
        defer { crew.release() }
        RandomPatches(configuration.input, count: count, seed: 8).withPixels { pixels in
            _ = embedder.embed(pixels, LayerSelection(indices: [2]), crew: crew)
        }
        let map = embedder.buffer(1, of: 0, in: Embedder.Group(images: 0..<1, region: 1))
        #expect(map[network.plan.layouts[1].origin].isNaN != isApart)
    }

    @Test func oneCallerAtATime() throws {
        let crew = try Crew(count: 2, startThread: startThread)
        #expect(crew.take())
        #expect(!crew.take())
        crew.release()
        #expect(crew.take())
    }

    /// What one patch has to cost before several threads share it: of those that have to be woken, and of those that
    /// are awake.
    @Test func onlyWhatIsLongEnoughIsShared() throws {
        func model(_ layers: [LayerConfiguration], channels: Int) throws -> Model {
            let oracle = Oracle.random(.sequence(layers, height: 32, width: 32, channels: channels), seed: 9)
            let folder = try TemporaryModel(oracle, golden: 0)
            return try Model.load(folder: folder.path)
        }
        // Millions of multiply-adds: 12.8, 1.2 and 0.1.
        let long = try model([.convolution("conv", 64, kernel: 7, padding: 3)], channels: 4)
        let short = try model([.convolution("conv", 32, kernel: 7, stride: 2, padding: 3)], channels: 3)
        let tiny = try model([.linear("fc", 32)], channels: 3)
        for members in [2, 4, Crew.most] {
            #expect(long.sharedBatch(members: members) == 8 && long.isWorthSharing(members: members))
            #expect(short.sharedBatch(members: members) == 0)
            #expect(short.isWorthSharing(members: members) == (members == 2), "half a million for each")
            #expect(tiny.sharedBatch(members: members) == 0 && !tiny.isWorthSharing(members: members))
        }
        #expect(long.sharedBatch(members: 1) == 0 && !long.isWorthSharing(members: 1))
    }

    /// The network that is served by default: threads that are awake share a patch.
    @Test func theSmallModelIsWorthSharing() throws {
        let repository = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        let model = try Model.load(folder: repository.appending(path: "models/small").path)
        for members in [2, 4] { #expect(model.isWorthSharing(members: members)) }
        #expect(model.sharedBatch(members: 2) == 0)
    }
}
