import ExemplarClient
import ExemplarNetwork
import JSONRPC

extension Command {
    static let embed = Command(
        name: "embed", summary: "embed patches of photographs",
        operands: .several("FILE"),
        discussion: """
            Cuts patches from photographs (PNG, JPEG or WebP) and writes their embeddings, one row a patch: for each \
            FILE in the order given, for each --patch in the order given. A patch is named by its top left corner, X \
            pixels from the left and Y from the top, as the file stores them: an orientation in EXIF is not applied. \
            Without --patch, a FILE must be one patch in size.

            A running server computes them, or, with --model, this process; by the same --isa, --accuracy and \
            --optimize the numbers are the same.

            --format json writes one line, {"model", "layers", "dim", "patches": [{"file", "x", "y"}], "embeddings"}; \
            --format npy writes a NumPy file of float32, shape (patches, dim).
            """,
        options: [
            Option("patch", "X,Y", repeats: true, help: "A patch's top left corner in pixels"),
            Option("format", "FORMAT", help: "json or npy; without it, npy if the output's name ends so, else json"),
            Option("output", letter: "o", "FILE", help: "Where to write; without it, standard output"),
            Option(
                "layers", "NAMES",
                help: "Layers to concatenate, with commas between them, or all; without it, the embedding layer"),
            Option(
                "normalize", "HOW", default: EmbedRequest.Normalization.none.rawValue,
                help: "l2 scales every row to length 1; none does not"),
        ] + ModelChoice.options + ServerAddress.options(),
        examples: [
            "exemplar embed photo.jpg --patch 120,80",
            "exemplar embed photo.jpg --patch 120,80 --patch 210,120 --format npy -o embeddings.npy",
            "exemplar embed patches/*.png --layers conv1,fc --normalize l2 --model models/small",
        ],
        run: runEmbed)
}

private enum Format: String, CaseIterable {
    case json
    case npy
}

private func runEmbed(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    // Whatever can be wrong with the command line is said before anything is read or asked.
    var positions: [PatchPosition] = []
    for text in arguments.values("patch") { positions.append(try PatchPosition(text)) }
    let layers = try EmbedRequest.Layers(arguments.value("layers"))
    let normalization = try arguments.choice("normalize", of: EmbedRequest.Normalization.self)
    let output = arguments.value("output")
    let format =
        try arguments.optionalChoice("format", of: Format.self) ?? (output?.hasSuffix(".npy") == true ? .npy : .json)
    guard format == .json || output != nil || !isTerminal else {
        throw .usage("--format npy is binary: give -o FILE, or send standard output to a file")
    }

    try checkOutput(output)
    let source = try ModelChoice(arguments).source(arguments)
    let (origins, patches) = try readPatches(of: arguments.operands, at: positions, shape: source.patchShape)
    let table = try embedded(patches, by: source, layers: layers, normalized: normalization == .l2)
    let bytes = format == .json ? table.json(origins: origins) : table.npy()
    try bytes.withUnsafeBytes { bytes throws(CommandError) in try writeOutput(bytes, to: output) }
    return 0
}

/// The patches of photographs, with a progress bar where reading them takes long.
private func readPatches(
    of files: [String], at positions: [PatchPosition], shape: NetworkConfiguration.PatchShape
) throws(CommandError) -> (origins: [PatchOrigin], patches: [[UInt8]]) {
    var bar = ProgressBar(total: files.count, unit: "photographs")
    defer { bar.clear() }
    var origins: [PatchOrigin] = []
    var patches: [[UInt8]] = []
    for (index, file) in files.enumerated() {
        for patch in try Photograph(file: file, channels: shape.channels).patches(at: positions, shape: shape) {
            origins.append(.init(file: file, position: patch.position))
            patches.append(patch.pixels)
        }
        bar.advance(to: index + 1)
    }
    return (origins, patches)
}

/// Rows for `patches`, with a progress bar where they take long.
private func embedded(
    _ patches: [[UInt8]], by source: any EmbeddingSource, layers: EmbedRequest.Layers, normalized: Bool
) throws(CommandError) -> Embeddings {
    var bar = ProgressBar(total: patches.count, unit: "patches")
    defer { bar.clear() }
    return try source.embed(patches, layers: layers, normalized: normalized) { bar.advance(to: $0) }
}
