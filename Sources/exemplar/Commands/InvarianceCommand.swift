import ExemplarNetwork
import JSONRPC

extension Command {
    static let invariance = Command(
        name: "invariance", summary: "measure how little embeddings move when patches are transformed",
        discussion: """
            For each step of T and growing strength: the distance between a representation of a transformed patch and \
            of the patch itself, over the root mean square distance between different patches, so that 0 is invariant \
            and 1 is as far as another patch. Representations are g, the means ĝ_8 and ĝ_32 averaged around the patch \
            transformed, and the layers' maps max-pooled over four quadrants. docs/method.md explains the numbers.
            """,
        options: [
            Option("count", "COUNT", default: 128, help: "How many patches, at most")
        ] + Study.options(takesPhotographs: true),
        examples: [
            "exemplar invariance", "exemplar invariance --exemplars photographs --json --plot invariance.svg",
        ],
        run: runInvariance)
}

private func runInvariance(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    let count = try arguments.integer("count", in: 2...1_000_000)
    let writesJSON = try arguments.isOn("json")
    try checkOutput(arguments.value("plot"))
    let study = try Study(arguments, count: count)
    let report = InvarianceReport(
        model: study.model.configuration.name, seed: study.seed,
        measurement: try study.invariance())
    if writesJSON { try writeOutput(report.json) } else { try writeOutput(report.text) }
    if let path = arguments.value("plot") { try writeOutput(Array(report.plot.svg.utf8), to: path) }
    return 0
}
