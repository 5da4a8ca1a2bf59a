import KernelInterface

/// A convolution by Winograd's algorithm: how its tiles are cut into blocks, and where they pass through.
///
/// A block of tiles is transformed, multiplied panel by panel, and transformed back, so that what passes between the
/// three phases stays near: in the second-level cache where tiles are small. Weights lie [panel][tuple][input
/// channel][panel's channels] and are read once a block in one stream.
struct WinogradConvolution: Sendable {
    let algorithm: WinogradShape
    /// Of the whole map.
    let tileRows: Int
    let tileColumns: Int
    let inChannels: Int
    let outChannels: Int
    let rectifies: Bool
    /// Whether a 2×2 max-pooling layer follows that the output transform can do on its way.
    let canPool: Bool
    let panels: [DirectProduct.Panel]
    /// Tiles of one block.
    let blockSize: Int
    /// Floats from one tuple to the next, of transformed inputs and of products.
    let inputTupleStep: Int
    let productTupleStep: Int
    /// Elements from the input map's origin to the first tile's first input: into the border.
    let windowOffset: Int
    private let inputCoefficients: [Float]
    private let outputPowers: [Float]
    private let segments: [Segment]
    /// What a crew divides the layer by.
    private let partCosts: TileGrid.Costs

    var tileCount: Int { tileRows * tileColumns }
    private var tuples: Int { algorithm.products * algorithm.products }
    /// Floats from one tile's transformed inputs to the next's.
    private let inputTileStep: Int
    /// Whether the input is the network's own, of few channels, which lies in pixels of 4: then the output transform
    /// makes the products itself, for one vector of output channels at a time, whose weights stay in the first-level
    /// cache.
    let isNarrow: Bool

    /// - Parameter images: that run together, at most.
    init(
        _ algorithm: WinogradShape, layer: PlannedLayer, rectifies: Bool, canPool: Bool, padding: Extent,
        source: MapLayout, images: Int, kernels: KernelTable, caches: CacheSizes
    ) {
        self.algorithm = algorithm
        self.rectifies = rectifies
        self.canPool = canPool
        inChannels = layer.input.channels
        outChannels = layer.output.channels
        tileRows = (layer.output.height + algorithm.outputs - 1) / algorithm.outputs
        tileColumns = (layer.output.width + algorithm.outputs - 1) / algorithm.outputs
        windowOffset = -(padding.height * source.rowStride + padding.width * source.columnStride)
        isNarrow = source.columnStride == MapLayout.narrowStride
        assert(!isNarrow || algorithm.fitsFewChannels, "no kernel makes these products on the way")
        let tuples = algorithm.products * algorithm.products
        panels = DirectProduct.panels(
            outChannels: layer.output.channels, tileVectors: isNarrow ? 1 : kernels.tileVectors,
            weightsPerChannel: tuples * layer.input.channels)
        blockSize = Self.blockSize(
            algorithm, inChannels: inChannels, tiles: images * tileRows * tileColumns, kernels: kernels, caches: caches)
        // An odd number of cache lines: a power of two would put the tuples of a tile into one set of the cache.
        func step(_ count: Int) -> Int { (MapLayout.vectors(count) | 1) * KernelTable.lanes }
        inputTileStep = isNarrow ? tuples * WinogradShape.narrowStep : MapLayout.padded(inChannels)
        inputTupleStep = isNarrow ? WinogradShape.narrowStep : step(blockSize * inputTileStep)
        productTupleStep = isNarrow ? 0 : step(blockSize * kernels.tileVectors * KernelTable.lanes)
        let transforms = WinogradAlgorithm(algorithm)
        inputCoefficients = transforms.inputCoefficients
        outputPowers = transforms.outputPowers
        segments = Self.partialSums(of: layer.input.channels, algorithm)
        let panelVectors = Double(panels.first?.vectors ?? 0)
        let panelProducts = Double(tuples * layer.input.channels) * panelVectors
        partCosts = TileGrid.Costs(
            tile: Double(MapLayout.vectors(layer.input.channels)) * algorithm.inputTransformCost,
            product: panelProducts + panelVectors * algorithm.outputTransformCost,
            weights: panelProducts * CostModel.nearWeightCost, blockSize: blockSize)
    }

    /// Whether a layer has so few input channels that the output transform had better make the products itself.
    static func hasFewChannels(_ input: FeatureShape) -> Bool { input.channels == 1 || input.channels == 3 }

    /// A sum over more channels than this rounds so often that the output transform, which takes differences of sums,
    /// would leave an error of more than 5e-6 of what comes out.
    private static let longestSum = 64
    /// Two halves and more parts of this many leave no more, and each part costs a pass over the register tile.
    private static let longestPart = 128

    /// The same for F(8×8, 5×5) of complex points, whose transforms take larger differences: parts of 64 would leave
    /// half as much error again as F(4×4, 5×5) or more, these leave about a third more.
    private static let longestPartOfLargeTile = 32

    /// Sums over so many channels, in equal parts.
    static func partialSums(of channels: Int, _ algorithm: WinogradShape) -> [Segment] {
        let parts =
            if algorithm == .f8k5i {
                (channels + longestPartOfLargeTile - 1) / longestPartOfLargeTile
            } else {
                channels <= longestSum ? 1 : max(2, (channels + longestPart - 1) / longestPart)
            }
        return (0..<parts).map { part in
            let start = part * channels / parts
            return Segment(offset: start, length: (part + 1) * channels / parts - start, endsSum: true)
        }
    }

    /// Tiles that use each weight often enough.
    private static let leastBlock = 24

    /// Enough tiles that each weight is used many times, and no more than that where their transforms do not stay in
    /// half of the second-level cache; whole register tiles.
    static func blockSize(
        _ algorithm: WinogradShape, inChannels: Int, tiles: Int, kernels: KernelTable, caches: CacheSizes
    ) -> Int {
        let bytes = algorithm.products * algorithm.products * MapLayout.padded(inChannels) * MemoryLayout<Float>.stride
        let fitting = caches.level2 / 2 / bytes / kernels.tileRows
        let least = (leastBlock + kernels.tileRows - 1) / kernels.tileRows
        let most = (48 + kernels.tileRows - 1) / kernels.tileRows
        return min(max(least, min(fitting, most)) * kernels.tileRows, tiles)
    }

    /// Floats of the packed weights and of the bias.
    var weightCount: Int { MapLayout.padded(outChannels) * tuples * inChannels }
    var biasCount: Int { MapLayout.padded(outChannels) }
    /// Floats of scratch: transformed inputs, products, the transforms' own, and zeros to start sums from.
    var scratchCount: Int { zerosOffset + panelWidth }

    private var panelWidth: Int { (panels.first?.vectors ?? 0) * KernelTable.lanes }
    private var productsOffset: Int { isNarrow ? blockSize * inputTileStep : tuples * inputTupleStep }
    private var transformOffset: Int { productsOffset + tuples * productTupleStep }
    private var zerosOffset: Int {
        transformOffset + MapLayout.padded(algorithm.scratchCount)
    }

    /// Fills `packed` with the transforms of the kernels [out][in][r][r], made in double precision and rounded once.
    func pack(_ weights: StoredTensor, into packed: UnsafeMutablePointer<Float>) {
        let transforms = WinogradAlgorithm(algorithm)
        let window = algorithm.kernel * algorithm.kernel
        withUnsafeTemporaryAllocation(of: Float.self, capacity: window + tuples * panelWidth) { floats in
            withUnsafeTemporaryAllocation(of: Double.self, capacity: window + transforms.workCount + tuples) {
                doubles in
                guard let stored = floats.baseAddress, let kernel = doubles.baseAddress else { return }
                let tile = stored + window
                let work = kernel + window
                let transformed = work + transforms.workCount
                for panel in panels {
                    let width = panel.vectors * KernelTable.lanes
                    // What the channels of padding keep.
                    tile.update(repeating: 0, count: tuples * width)
                    for input in 0..<inChannels {
                        for lane in 0..<min(width, outChannels - panel.channel) {
                            let start = ((panel.channel + lane) * inChannels + input) * window
                            weights.read(start..<start + window, into: stored)
                            for tap in 0..<window { kernel[tap] = Double(stored[tap]) }
                            transforms.transform(kernel, work: work, into: transformed)
                            for tuple in 0..<tuples { tile[tuple * width + lane] = Float(transformed[tuple]) }
                        }
                        for tuple in 0..<tuples {
                            (packed + (panel.weightOffset + (tuple * inChannels + input) * width))
                                .update(from: tile + tuple * width, count: width)
                        }
                    }
                }
            }
        }
    }

    /// Runs the layer over `images` images.
    ///
    /// - Parameters:
    ///   - scratch: `scratchCount` floats.
    ///   - part: whose part of the tiles and panels. It changes no result.
    ///   - pools: whether to write the following pooling layer's map in place of this one's.
    ///   - rows, columns: of this layer's own map: tiles reach beyond it, and nothing is written there.
    ///   - source, target: an image's maps; the target is the pooled one where `pools`.
    ///   - didBlock: called after each block of tiles; whether to go on.
    func run(
        _ kernels: KernelTable, weights: UnsafePointer<Float>, bias: UnsafePointer<Float>, images: Int,
        scratch: UnsafeMutablePointer<Float>, part: CrewPart, pools: Bool, rows: Int, columns: Int,
        source: (Int) -> MapView,
        target: (Int) -> MapView,
        didBlock: () -> Bool
    ) {
        (scratch + zerosOffset).update(repeating: 0, count: panelWidth)
        let m = algorithm.outputs
        let tileCount = images * tileCount
        let grid = TileGrid(tiles: tileCount, panels: panels.count, members: part.count, costs: partCosts)
        guard let share = grid.part(of: part.member, tiles: tileCount, panels: panels.count) else { return }
        let tiles = share.tiles
        let panels = panels[share.panels]
        for start in stride(from: tiles.lowerBound, to: tiles.upperBound, by: blockSize) {
            let block = start..<min(start + blockSize, tiles.upperBound)
            transformInput(kernels, block, scratch: scratch, source: source)
            for panel in panels {
                let width = panel.vectors * KernelTable.lanes
                let weights = weights + panel.weightOffset
                if !isNarrow { multiply(kernels, panel, weights, tiles: block.count, scratch: scratch) }
                outputPowers.withUnsafeBufferPointer { powers in
                    guard let powers = powers.baseAddress else { return }
                    forEachRun(in: block) { run in
                        let map = target(run.image)
                        let place = pools ? m / 2 : m
                        var arguments = OutputTransformArguments(
                            shape: algorithm, channels: 0, weights: weights,
                            input: scratch + (productsOffset + run.offset * width), tupleStep: productTupleStep,
                            tileStep: width, vectors: panel.vectors, tiles: run.count, bias: bias + panel.channel,
                            rectifies: rectifies, pools: pools,
                            output: map.address
                                + (place * (run.row * map.rowStride + run.column * map.columnStride)
                                    + panel.channel),
                            rowStride: map.rowStride, columnStride: map.columnStride, rows: rows - m * run.row,
                            columns: columns - m * run.column, scratch: scratch + transformOffset, powers: powers)
                        if isNarrow {
                            arguments.channels = inChannels
                            arguments.input = UnsafePointer(scratch + run.offset * inputTileStep)
                            arguments.tileStep = inputTileStep
                        }
                        kernels.transformOutput(arguments)
                    }
                }
            }
            guard didBlock() else { return }
        }
    }

    /// Transforms a block of tiles into the start of `scratch`.
    private func transformInput(
        _ kernels: KernelTable, _ block: Range<Int>, scratch: UnsafeMutablePointer<Float>, source: (Int) -> MapView
    ) {
        let m = algorithm.outputs
        inputCoefficients.withUnsafeBufferPointer { coefficients in
            guard let coefficients = coefficients.baseAddress else { return }
            forEachRun(in: block) { run in
                let map = source(run.image)
                let arguments = InputTransformArguments(
                    shape: algorithm,
                    input: UnsafePointer(map.address)
                        + (windowOffset + m * (run.row * map.rowStride + run.column * map.columnStride)),
                    rowStride: map.rowStride, columnStride: map.columnStride,
                    vectors: isNarrow ? 0 : inputTileStep / KernelTable.lanes, tiles: run.count,
                    output: scratch + run.offset * inputTileStep, tupleStep: inputTupleStep,
                    tileStep: inputTileStep, scratch: scratch + transformOffset, coefficients: coefficients)
                if isNarrow {
                    kernels.transformNarrowInput(arguments)
                } else {
                    kernels.transformInput(arguments)
                }
            }
        }
    }

    /// Multiplies the transformed tiles at the start of `scratch` by one panel's weights.
    private func multiply(
        _ kernels: KernelTable, _ panel: DirectProduct.Panel, _ weights: UnsafePointer<Float>, tiles: Int,
        scratch: UnsafeMutablePointer<Float>
    ) {
        let width = panel.vectors * KernelTable.lanes
        segments.withUnsafeBufferPointer { segments in
            guard let segments = segments.baseAddress else { return }
            kernels.multiplyPanel(
                PanelArguments(
                    input: scratch, inputStep: inputTileStep, segments: segments,
                    segmentCount: self.segments.count,
                    weights: weights, weightType: .float32, bias: scratch + zerosOffset,
                    output: scratch + productsOffset, outputStep: width, rows: tiles, vectors: panel.vectors,
                    rectifies: false, tuples: tuples, inputTupleStep: inputTupleStep,
                    weightTupleStep: inChannels * width, outputTupleStep: productTupleStep))
        }
    }

    /// Tiles side by side in one image.
    private struct Run {
        let image: Int
        /// In tiles.
        let row: Int
        let column: Int
        let count: Int
        /// Tiles of the block before this run.
        let offset: Int
    }

    /// Cuts a range of tiles, counted through the images row by row, at the ends of the rows.
    private func forEachRun(in block: Range<Int>, _ body: (Run) -> Void) {
        var tile = block.lowerBound
        while tile < block.upperBound {
            let column = tile % tileColumns
            let count = min(tileColumns - column, block.upperBound - tile)
            body(
                Run(
                    image: tile / tileCount, row: tile % tileCount / tileColumns, column: column, count: count,
                    offset: tile - block.lowerBound))
            tile += count
        }
    }
}
