import Transformations

/// The steps of T_α by their words in `config.json` and on the command line, in the order in which they are applied.
extension TransformationSteps {
    static let named: [(name: String, steps: TransformationSteps)] = [
        ("translation", .translation), ("scale", .scale), ("rotation", .rotation), ("contrast", .contrast),
        ("color", .color), ("hue", .hue),
    ]

    /// Reads `--steps`: names with commas between them; all steps without it.
    init(_ text: String?) throws(CommandError) {
        guard let text else {
            self = .all
            return
        }
        self = []
        let known = Self.named.map(\.name)
        for name in text.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
            guard let step = Self.named.first(where: { $0.name == name }) else {
                throw .usage(
                    "--steps is '\(text)'; it must be names with commas between them, of "
                        + known.joined(separator: ", ") + didYouMean(name, among: known))
            }
            formUnion(step.steps)
        }
    }
}

extension TransformationRanges {
    /// The steps that these ranges can draw: colour steps need ranges of their own.
    var steps: TransformationSteps {
        var steps = TransformationSteps.geometry
        if contrast != nil { steps.insert(.contrast) }
        if color != nil { steps.insert(.color) }
        if hue != nil { steps.insert(.hue) }
        return steps
    }
}
