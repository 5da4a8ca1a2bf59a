import ExemplarNetwork

extension Command {
    static let bound = Command(
        name: "bound", summary: "bound the information that embeddings have about exemplars",
        discussion: """
            The loss that an Exemplar-CNN is trained with is a lower bound on mutual information: I(x; z) is at least \
            ln N + E ln π(x | z), π being the softmax of the head over N exemplars. This measures it on fresh \
            transformations of the model's exemplars: for one draw, z = g(T x); for means of K draws, which is another \
            z and so bounds another information; for each step of T alone; and with posteriors fitted to each layer, \
            which shows how much the linear head leaves unread. docs/method.md explains the numbers.
            """,
        options: [
            Option("draws", "COUNT", default: 64, help: "Transformations of each exemplar"),
            Option("count", "COUNT", default: 1024, help: "Of the exemplars, the first so many"),
        ] + Study.options(takesPhotographs: false),
        examples: ["exemplar bound", "exemplar bound --model models/small --draws 16 --json --plot bound.svg"],
        run: runBound)
}

private func runBound(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    let draws = try arguments.integer("draws", in: 2...65_536)
    let writesJSON = try arguments.isOn("json")
    let count = try arguments.integer("count", in: 2...1_000_000)
    try checkOutput(arguments.value("plot"))
    let study = try Study(arguments, count: count)
    try study.checkLayerBounds()
    let report = BoundReport(
        model: study.model.configuration.name, seed: study.seed, measurement: try study.bound(draws: draws),
        layers: try study.layerBounds())
    if writesJSON { try writeOutput(report.json) } else { try writeOutput(report.text) }
    if let path = arguments.value("plot") { try writeOutput(Array(report.plot.svg.utf8), to: path) }
    return 0
}
