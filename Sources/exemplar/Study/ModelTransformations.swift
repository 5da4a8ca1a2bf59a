import ExemplarNetwork
import Transformations

extension Model {
    /// The sampler of this model's transformations.
    ///
    /// - Parameter steps: those that the command line asks for by name; all stands for those that the model has.
    /// - Throws: where the model has no ranges, or not those of a step that is asked for.
    func study(_ steps: TransformationSteps = .all) throws(CommandError) -> TransformationSampler {
        guard let sampler else {
            throw .failure(
                "\(configuration.name) has no `transformations` in its config.json, so T_α is not defined: add the "
                    + "ranges that it was trained with.")
        }
        let missing = steps == .all ? [] : steps.subtracting(sampler.ranges.steps)
        if let step = TransformationSteps.named.first(where: { missing.contains($0.steps) }) {
            throw .failure(
                "\(configuration.name) has no range for the step \(step.name) in its config.json: leave it out of "
                    + "--steps."
            )
        }
        return sampler
    }

    /// T_α of the patch in the middle of `context`, as pixels in H × W × C order, for each α.
    func transformedPixels(_ context: Context, _ transformations: [Transformation]) -> [[UInt8]] {
        let count = configuration.input.count
        let border = configuration.transformations?.border ?? .reflect
        return context.withInputs(transformations, border: border) { inputs in
            inputs.map { input in
                [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
                    guard let base = buffer.baseAddress else { return }
                    transform(input, into: base)
                    written = count
                }
            }
        }
    }
}

extension TransformationSteps {
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
