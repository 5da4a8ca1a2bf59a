import ExemplarNetwork
import Glibc
import KernelInterface
import Transformations

/// A network with the threads and memory to run it: each pass embeds one batch, split evenly among the threads.
final class LoadedNetwork {
    let batch: Int
    let bytesPerPatch: Int
    private let model: Model
    private let parts: [Part]
    private let patches: UnsafeMutableRawBufferPointer
    private let team: Team
    private let times: KernelTimes?

    /// One thread's share of a batch.
    private final class Part: @unchecked Sendable {
        let embedder: Embedder
        let selection: LayerSelection
        private var patches: [EmbedderInput]
        /// Draws a new T_α for every row of every pass, if any.
        private let sampler: TransformationSampler?
        private var drawn: UInt64 = 0
        /// Where a single patch is shared by all cores, as the server does.
        let crew: Crew?

        init(
            embedder: Embedder, selection: LayerSelection, patches: [EmbedderInput], sampler: TransformationSampler?,
            crew: Crew?
        ) {
            self.crew = crew
            self.sampler = sampler
            self.embedder = embedder
            self.selection = selection
            self.patches = patches
        }

        @discardableResult
        func run() -> EmbeddingBatch {
            if let sampler {
                for row in patches.indices {
                    patches[row].transformation = sampler.draw(seed: 2014, index: drawn)
                    drawn += 1
                }
            }
            return patches.withUnsafeBufferPointer { embedder.embed($0, selection, crew: crew) }
        }
    }

    init(
        folder: String, batch: Int, draws: Bool, cores: [Int], accuracy: Accuracy, instructionSet: InstructionSet,
        timed: Bool
    ) throws(CommandError) {
        guard (1...65536).contains(batch) else { throw CommandError("\"batch\" must be 1 to 65536") }
        guard !timed || cores.count == 1 else { throw CommandError("Kernels are timed on one core only") }
        let options = ModelOptions(instructionSet: instructionSet, accuracy: accuracy)
        let times = timed ? KernelTimes() : nil
        let table = KernelTable.table(for: instructionSet)
        self.times = times
        self.batch = batch
        do {
            model = try Model.load(folder: folder, options: options, kernels: times.flatMap { table.map($0.timing) })
        } catch {
            throw CommandError("\(error)")
        }
        let sampler = draws ? model.sampler : nil
        guard !draws || sampler != nil else { throw CommandError("\(folder) says nothing of transformations") }
        let shape = model.configuration.input
        bytesPerPatch = shape.height * shape.width * shape.channels
        let size = bytesPerPatch
        patches = .allocate(byteCount: batch * size, alignment: 64)
        // Pixels of every value; `writeOutputs` brings others.
        for index in 0..<patches.count { patches[index] = UInt8(truncatingIfNeeded: (index &* 0x9E37_79B1) >> 16) }
        let bytes = UnsafeRawBufferPointer(patches)
        // As in the server: few patches are computed by all threads together, a single one of a short network where
        // they are awake, as they are here; and more threads than patches have nothing to do.
        let crewCount = min(cores.count, Crew.most)
        let isShared =
            batch <= model.sharedBatch(members: crewCount) || batch == 1 && model.isWorthSharing(members: crewCount)
        let members = isShared ? 1 : min(cores.count, batch)
        var parts: [Part] = []
        for member in 0..<members {
            let range = member * batch / members..<(member + 1) * batch / members
            let pixels = range.compactMap { patch in
                bytes.baseAddress.map {
                    EmbedderInput(
                        pixels: PatchPixels(address: $0 + patch * size, format: .uint8), height: shape.height,
                        width: shape.width)
                }
            }
            do {
                let crew =
                    isShared
                    ? try Crew(count: crewCount, startThread: Team.starter(cores: cores.dropFirst())) : nil
                parts.append(
                    Part(
                        embedder: try model.makeEmbedder(maximumBatch: range.count, members: crew?.count ?? 1),
                        selection: model.embeddingOnly, patches: pixels, sampler: sampler, crew: crew))
            } catch {
                throw CommandError("\(error)")
            }
        }
        self.parts = parts
        team = try Team(cores: Array(cores.prefix(members))) { [parts] member in parts[member].run() }
    }

    func dismiss() { team.dismiss() }

    deinit { patches.deallocate() }

    /// Takes the first patches of a file, [n, height, width, channels] uint8, as the batch, and writes their
    /// embeddings, [batch, dimension] float32.
    func writeOutputs(of patchFile: String, to outputFile: String) throws(CommandError) {
        guard let input = fopen(patchFile, "rb") else { throw CommandError("\(patchFile) cannot be opened") }
        defer { fclose(input) }
        guard fread(patches.baseAddress, 1, patches.count, input) == patches.count else {
            throw CommandError("\(patchFile) holds fewer than \(batch) patches")
        }
        guard let output = fopen(outputFile, "wb") else { throw CommandError("\(outputFile) cannot be written") }
        defer { fclose(output) }
        for part in parts {
            let embeddings = part.run()
            for row in 0..<embeddings.rows {
                let values = embeddings[row]
                guard fwrite(values.baseAddress, 4, values.count, output) == values.count else {
                    throw CommandError("\(outputFile) cannot be written")
                }
            }
        }
    }

    /// Passes for about so many seconds; at least three.
    func run(seconds: Double) -> Reply {
        team.run()
        times?.forgetPasses()
        var passes: [Double] = []
        // A crew's threads are none of the team's.
        let processor = ProcessorShare(cores: parts.reduce(0) { $0 + ($1.crew?.count ?? 1) })
        var start = secondsNow()
        let end = start + seconds
        while start < end || passes.count < 3 {
            team.run()
            let now = secondsNow()
            passes.append(now - start)
            times?.endPass()
            start = secondsNow()
        }
        return Reply(
            median: passes.median, share: processor.sinceStart, kernels: times?.perPass(\.median),
            fastestKernels: times?.perPass { $0.min() ?? 0 }, tuples: times?.tuples)
    }
}
