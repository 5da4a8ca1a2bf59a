import KernelInterface
import Synchronization
import Tensors

/// Hears that a forward pass gets on: several times in a layer of a large image, from the thread that asked for it.
public protocol ForwardPassObserver: AnyObject {
    /// - Returns: whether anybody still wants the result; once it is false the pass ends early, and its rows have no
    ///   meaning.
    func didAdvance() -> Bool
}

/// The forward pass of one thread: a model's plan for inputs of one size, with the memory to run it in. Use from one
/// thread at a time.
///
/// A warm call allocates nothing. The memory is given back with the embedder.
public final class Embedder {
    /// What one input is: the model's patch, or a larger image.
    public let inputShape: NetworkConfiguration.PatchShape
    /// The most patches in one call.
    public let maximumBatch: Int
    /// Bytes of memory that it holds, beside the weights, which are the model's.
    public let byteCount: Int

    /// Who hears that a pass gets on; nil for patches, which take milliseconds.
    public var observer: (any ForwardPassObserver)?

    /// The most threads that can share a batch.
    private let members: Int
    /// Whether a crew can share a batch.
    public var canBeShared: Bool { members > 1 }
    /// What the crew is at; nil between two calls.
    private var call: Call?
    /// Whether the observer wants no more of this call. Members then leave out their parts and meet as ever, so that it
    /// does not matter when each of them sees it.
    private let isAbandoned = Atomic(false)

    /// Rows of a map between two signs of life.
    private static let observedRows = 32

    private struct Call {
        let inputs: UnsafeBufferPointer<EmbedderInput>
        let selection: LayerSelection
        let crew: Crew
    }

    let network: Network
    let memory: EmbedderMemory
    let slab: Slab
    let outputs: Slab
    /// What the slabs take of the memory's source. After them, so that it is given back once they are gone.
    private let share: (any MemoryShare)?

    /// - Parameters:
    ///   - members: the most threads that can share a batch.
    ///   - poisoned: whether memory starts as NaN where the plan does not ask for zeros, so that a test sees
    ///     a value that was never written.
    ///   - source: what the memory is taken from; nil for the process's own limit, of which the weights are taken.
    init(
        network: Network, maximumBatch: Int, members: Int = 1, poisoned: Bool = false,
        from source: (any MemorySource)? = nil
    ) throws(ModelError) {
        let (memory, outputCount) = try Self.plan(network, maximumBatch: maximumBatch, members: members)
        let input = network.plan.layouts[0]
        inputShape = NetworkConfiguration.PatchShape(
            height: input.height, width: input.width, channels: input.channels)
        byteCount = (memory.count + outputCount) * MemoryLayout<Float>.stride
        share = try (source ?? network.ownLimit).take(
            byteCount,
            for: "Maps for a batch of \(maximumBatch) inputs of \(input.height) × \(input.width) × \(input.channels)",
            advice: source == nil
                ? "use smaller inputs or a smaller network"
                : "choose a smaller --max-batch, fewer --threads or smaller images")
        self.maximumBatch = maximumBatch
        self.members = max(1, members)
        self.network = network
        self.memory = memory
        do {
            let arena = try Arena()
            slab = try arena.allocate(count: memory.count, zeroed: true)
            // Wide enough for every layer at once, which few ask for.
            outputs = try arena.allocate(count: outputCount, zeroed: false, isSparse: true)
        } catch {
            throw ModelError("No memory for batches of \(maximumBatch) patches. \(error)")
        }
        if poisoned { poison() }
    }

    /// Where everything lies, and how many floats the rows take.
    private static func plan(
        _ network: Network, maximumBatch: Int, members: Int
    ) throws(ModelError) -> (EmbedderMemory, outputCount: Int) {
        let (outputCount, overflows) = network.outputCount.multipliedReportingOverflow(by: maximumBatch)
        guard maximumBatch > 0, !overflows,
            let memory = network.plan.memory(maximumBatch: maximumBatch, members: max(1, members)),
            // Bytes must not overflow either.
            memory.count <= Int.max >> 3, outputCount <= Int.max >> 3
        else {
            throw ModelError("A batch of \(maximumBatch) patches cannot be planned: choose smaller batches.")
        }
        return (memory, outputCount)
    }

    /// What an embedder would take beside the weights, without making it.
    ///
    /// - Throws: `ModelError` where the sizes have no meaning.
    static func byteCount(of network: Network, maximumBatch: Int, members: Int) throws(ModelError) -> Int {
        let (memory, outputCount) = try plan(network, maximumBatch: maximumBatch, members: members)
        return (memory.count + outputCount) * MemoryLayout<Float>.stride
    }

    /// Runs the network over `inputs`, 1 … `maximumBatch` of them, as far as the last layer of `selection`.
    ///
    /// - Parameter crew: threads that share the batch, with the calling thread as their caller; the bits are the same.
    /// - Returns: one row a patch, valid until the next call.
    public func embed(
        _ inputs: UnsafeBufferPointer<EmbedderInput>, _ selection: LayerSelection, crew: Crew? = nil
    ) -> EmbeddingBatch {
        isAbandoned.store(false, ordering: .relaxed)
        if let crew, crew.count > 1, crew.count <= members {
            call = Call(inputs: inputs, selection: selection, crew: crew)
            crew.run(self)
            call = nil
        } else {
            compute(inputs, selection, .whole)
        }
        return EmbeddingBatch(
            rows: min(inputs.count, maximumBatch), dimension: network.dimension(of: selection),
            base: UnsafePointer(outputs.base))
    }

    /// Images that run together through the steps before `batchedFrom`, and the region that holds their maps.
    struct Group {
        let images: Range<Int>
        var region = 0
    }

    /// One member's part of a batch.
    ///
    /// Members that compute whole images, each in memory of its own, meet for the layers alone that read their weights
    /// once for the whole batch. Otherwise every layer is split.
    private func compute(_ inputs: UnsafeBufferPointer<EmbedderInput>, _ selection: LayerSelection, _ part: CrewPart) {
        let count = min(inputs.count, maximumBatch)
        let plan = network.plan
        let dimension = network.dimension(of: selection)
        let last = selection.indices.last.map { $0 + 1 } ?? 0
        let grouped = min(plan.batchedFrom, last)
        let isApart = memory.regions >= part.count && Self.computesApart(images: count, members: part.count)
        let own = isApart ? CrewPart.alone(seat: part.seat) : part
        let images = isApart ? part.range(of: count) : 0..<count
        // As few groups as possible, nearly equal.
        let groups = max(1, (images.count + plan.groupSize - 1) / plan.groupSize)
        let groupSize = max(1, (images.count + groups - 1) / groups)
        for start in stride(from: images.lowerBound, to: images.upperBound, by: groupSize) {
            // The last map of one group may lie where the first of the next will.
            if start > images.lowerBound { own.meet() }
            let group = Group(
                images: start..<min(start + groupSize, images.upperBound), region: isApart ? part.seat : 0)
            for image in group.images where image % own.count == own.member {
                network.filling.fill(plan.layouts[0].view(buffer(0, of: image, in: group)), from: inputs[image])
            }
            own.meet()
            runSteps(0..<grouped, group, selection, dimension: dimension, own)
        }
        if isApart { part.meet() }
        runSteps(grouped..<last, Group(images: 0..<count), selection, dimension: dimension, part)
    }

    /// Whether members of a crew are better off with whole images, of which some may have one fewer than others, than
    /// with parts of each layer: from two images a member on, which share the weights that they stream. The more
    /// members, the dearer are their meetings in every layer, and the more idleness is worth their absence (two Zen 4
    /// cores lose 5 to 10 % of an even batch by splitting layers).
    static func computesApart(images: Int, members: Int) -> Bool {
        let most = (images + members - 1) / members
        return members > 1 && images >= 2 * members && 16 * most * members <= (16 + members) * images
    }

    /// Runs some steps one after another over the same images.
    private func runSteps(
        _ steps: Range<Int>, _ group: Group, _ selection: LayerSelection, dimension: Int, _ part: CrewPart
    ) {
        var index = steps.lowerBound
        while index < steps.upperBound {
            // Pooling is done on the way unless somebody wants to see the map before it.
            let pools =
                network.plan.steps[index].canPool && index + 1 < steps.upperBound && !selection.indices.contains(index)
            runStep(index, pools: pools, group, part)
            if pools { index += 1 }
            part.meet()
            // The map stays as it is until the layer after the next, and all meet before that.
            if part.member == 0 { gather(index, selection, group, dimension: dimension, seat: part.seat) }
            index += 1
        }
    }

    /// Where the map that flows into step `index` lies, for one image.
    func buffer(_ index: Int, of image: Int, in group: Group) -> UnsafeMutablePointer<Float> {
        let plan = network.plan
        let place = index < plan.batchedFrom ? image - group.images.lowerBound : image
        let offset = memory.offset(ofBuffer: index, region: group.region) + place * plan.imageStride(of: index)
        assert(offset >= 0 && offset + plan.layouts[index].count <= slab.count, "outside the slab")
        return slab.base + offset
    }

    /// One member's part of a step.
    ///
    /// - Parameter pools: whether the pooling that follows is done on the way.
    private func runStep(_ index: Int, pools: Bool, _ group: Group, _ part: CrewPart) {
        guard !isAbandoned.load(ordering: .relaxed) else { return }
        let plan = network.plan
        let images = group.images
        let source = plan.layouts[index]
        let target = plan.layouts[index + 1]
        switch plan.steps[index] {
        case .winograd(let convolution, let parameters):
            runConvolution(convolution, parameters, index, pools: pools, group, part)
        case .direct(let step):
            let rows = part.range(of: target.height)
            for image in images {
                let input = UnsafePointer(buffer(index, of: image, in: group)) + (source.origin + step.windowOffset)
                let output = buffer(index + 1, of: image, in: group) + target.origin
                // All rows share each part of the weights, unless somebody waits to hear of them.
                let most = observer == nil ? max(1, rows.count) : Self.observedRows
                for start in stride(from: rows.lowerBound, to: rows.upperBound, by: most) {
                    step.product.run(
                        network.kernels, weights: network.parameters.base + step.parameters.weights,
                        bias: network.parameters.base + step.parameters.bias, part: .whole,
                        rows: min(most, rows.upperBound - start)
                    ) { row in
                        let y = start + row
                        return DirectProduct.Row(
                            input: input + y * step.stride.height * source.rowStride,
                            inputStep: step.stride.width * source.columnStride,
                            output: output + y * target.rowStride, outputStep: target.columnStride,
                            count: target.width)
                    }
                    guard goesOn(part) else { return }
                }
            }
        case .maxPool(let kernel, let stride, let padding):
            for image in images where image % part.count == part.member {
                network.kernels.maxPool(
                    PoolArguments(
                        input: source.view(buffer(index, of: image, in: group)),
                        output: target.view(buffer(index + 1, of: image, in: group)),
                        channels: source.columnStride,
                        kernelHeight: kernel.height, kernelWidth: kernel.width, strideHeight: stride.height,
                        strideWidth: stride.width, paddingHeight: padding.height, paddingWidth: padding.width))
            }
        case .linear(let product, let parameters):
            let row = DirectProduct.Row(
                input: UnsafePointer(buffer(index, of: images.lowerBound, in: group)) + source.origin,
                inputStep: plan.imageStride(of: index),
                output: buffer(index + 1, of: images.lowerBound, in: group) + target.origin,
                outputStep: plan.imageStride(of: index + 1), count: images.count)
            product.run(
                network.kernels, weights: network.parameters.base + parameters.weights,
                bias: network.parameters.base + parameters.bias, part: part, rows: 1
            ) { _ in row }
        }
    }

    private func runConvolution(
        _ convolution: WinogradConvolution, _ parameters: ExecutionPlan.Parameters, _ index: Int, pools: Bool,
        _ group: Group, _ part: CrewPart
    ) {
        let plan = network.plan
        let target = index + (pools ? 2 : 1)
        convolution.run(
            network.kernels, weights: network.parameters.base + parameters.weights,
            bias: network.parameters.base + parameters.bias, images: group.images.count,
            scratch: slab.base + (memory.scratch + part.seat * plan.scratchStride), part: part,
            pools: pools, rows: plan.layouts[index + 1].height, columns: plan.layouts[index + 1].width
        ) { image in
            plan.layouts[index].view(buffer(index, of: group.images.lowerBound + image, in: group))
        } target: { image in
            plan.layouts[target].view(buffer(target, of: group.images.lowerBound + image, in: group))
        } didBlock: {
            goesOn(part)
        }
    }

    /// Tells the observer that a member has got on, if it is the caller; false where the pass is to end.
    private func goesOn(_ part: CrewPart) -> Bool {
        if part.seat == 0, let observer, !observer.didAdvance() { isAbandoned.store(true, ordering: .relaxed) }
        return !isAbandoned.load(ordering: .relaxed)
    }

    private func poison() {
        for offset in 0..<outputs.count { outputs.base[offset] = .nan }
        for offset in 0..<network.plan.pooledStride * members { slab.base[memory.pooled + offset] = .nan }
        for (index, layout) in network.plan.layouts.enumerated() {
            for region in 0..<(index < network.plan.batchedFrom ? memory.regions : 1) {
                let group = Group(
                    images: 0..<network.plan.images(in: index, maximumBatch: maximumBatch), region: region)
                for image in group.images {
                    let map = layout.view(buffer(index, of: image, in: group))
                    for y in 0..<map.height {
                        for x in 0..<map.width {
                            let pixel = map.address + (y * map.rowStride + x * map.columnStride)
                            for channel in 0..<layout.channels { pixel[channel] = .nan }
                        }
                    }
                }
            }
        }
    }
}

extension Embedder: Crew.Work {
    func run(member: Int) {
        guard let call else { return }
        compute(call.inputs, call.selection, .shared(member: member, crew: call.crew))
    }
}

/// [rows, dimension] float32 in the embedder's arena, valid until its next call.
public struct EmbeddingBatch {
    public let rows: Int
    public let dimension: Int
    let base: UnsafePointer<Float>

    /// Row `row`: the values of one patch.
    public subscript(row: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(start: base + row * dimension, count: dimension)
    }
}
