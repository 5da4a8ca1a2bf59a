import ExemplarClient
import JSONRPC

extension Command {
    static let health = Command(
        name: "health", summary: "ask a server whether it is ready",
        discussion: """
            Prints ok and exits with 0 when the server is ready for work; otherwise says why not and exits with 1. Fit \
            for a container's health check.
            """,
        options: [Option("live", help: "Ask only whether the server is alive, which it is while it drains, too")]
            + ServerAddress.options(timeout: 3),
        examples: ["exemplar health", "exemplar health --live --port 7351"],
        run: runHealth)
}

private func runHealth(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    try RemoteServer(arguments).health(liveOnly: try arguments.isOn("live"))
    try writeOutput("ok\n")
    return 0
}
