extension Command {
    static let serve = Command(
        name: "serve", summary: "serve models over TCP",
        discussion: "",
        options: [],
        examples: ["exemplar serve --models models"],
        run: runServe)
}

private func runServe(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    throw .failure("no server yet")
}
