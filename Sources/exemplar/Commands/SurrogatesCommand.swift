import ExemplarNetwork
import Images
import JSONRPC
import Transformations

extension Command {
    static let surrogates = Command(
        name: "surrogates", summary: "draw a patch under random transformations, as a picture",
        operands: .one("FILE"),
        discussion: """
            Writes a PNG of one surrogate class: the patch of the photograph FILE whose top left corner is --patch, \
            framed, and then what training makes of it, the patch under transformations drawn from the ranges of a \
            model. They read the photograph around the patch; beyond its edges they see it mirrored.

            Draw k is the one that a server gives for the same seed and index.
            """,
        options: [
            Option("patch", "X,Y", help: "The patch's top left corner in pixels"),
            Option("output", letter: "o", "FILE", help: "Where to write the PNG; without it, standard output"),
            Option("count", "COUNT", default: 64, help: "Patches on the sheet, the original among them"),
            Option("seed", "NUMBER", default: 1, help: "Chooses the draws"),
            Option(
                "steps", "NAMES",
                help: "Which steps to draw, with commas between them: "
                    + TransformationSteps.named.map(\.name).joined(separator: ", ") + "; without it, all"),
            Option("columns", "COUNT", default: 8, help: "Patches in a row"),
            Option("enlarge", "FACTOR", default: 2, help: "Pixels of the sheet for a pixel of a patch"),
            Option("model", "FOLDER", default: "models/small", help: "The model folder that has the ranges"),
        ],
        examples: [
            "exemplar surrogates photo.jpg --patch 120,80 -o sheet.png",
            "exemplar surrogates photo.jpg --patch 120,80 --steps color,hue --columns 16 -o colors.png",
        ],
        run: runSurrogates)
}

private func runSurrogates(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    guard let place = arguments.value("patch") else {
        throw .usage("no --patch given: the patch's top left corner in pixels, such as --patch 120,80")
    }
    let position = try PatchPosition(place)
    let steps = try TransformationSteps(arguments.value("steps"))
    let count = try arguments.integer("count", in: 1...10_000)
    let seed = try arguments.integer("seed", in: TransformOptions.seeds)
    let sheet = ContactSheet(
        columns: try arguments.integer("columns", in: 1...1000),
        enlargement: try arguments.integer("enlarge", in: 1...32))
    let output = arguments.value("output")
    guard output != nil || !isTerminal else {
        throw .usage("a PNG is binary: give -o FILE, or send standard output to a file")
    }

    try checkOutput(output)
    let model = try LocalNetwork(folder: arguments.text("model")).network
    let shape = model.configuration.input
    let sampler = try model.study(steps)
    guard sheet.size(of: count, height: shape.height, width: shape.width) != nil else {
        throw .failure(
            "The sheet would have more than \(ContactSheet.maximumCount) values: lower --count or --enlarge.")
    }
    let photograph = try Photograph(file: arguments.operands[0], channels: shape.channels)
    // Says what is wrong with a place outside.
    _ = try photograph.patches(at: [position], shape: shape)
    let context = Context(
        of: photograph, at: position, shape: shape, margin: sampler.ranges.margin(around: shape))
    let draws = (0..<count - 1).map { sampler.draw(seed: UInt64(seed), index: UInt64($0)).restricted(to: steps) }
    let patches = model.transformedPixels(context, [.identity] + draws).compactMap {
        Raster(height: shape.height, width: shape.width, channels: photograph.raster.channels, pixels: $0)
    }
    guard let picture = sheet.draw(patches) else { throw .failure("The sheet cannot be drawn: lower --count.") }
    try writeOutput(explained { () throws(ImageError) in try picture.png() }, to: output)
    return 0
}
