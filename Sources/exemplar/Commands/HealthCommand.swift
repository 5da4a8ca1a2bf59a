import ExemplarClient
import JSONRPC

extension Command {
    static let health = Command(
        name: "health", summary: "ask a server whether it is ready",
        discussion: """
            Prints ok and exits with 0 when the server is ready for work; otherwise says why not and exits with 1. Fit \
            for a container's health check.

            A server that drains takes no connections, so this exits with 1 then, with --live, too. What restarts a \
            server that is not alive must not end its drain: let it ask /healthz on --metrics-port.
            """,
        options: [Option("live", help: "Ask only whether the server answers, not whether it is ready for work")]
            + ServerAddress.options(timeout: 3),
        examples: ["exemplar health", "exemplar health --live --port 7351"],
        run: runHealth)
}

private func runHealth(_ arguments: ParsedArguments) throws(CommandError) -> Int32 {
    try RemoteServer(arguments).health(liveOnly: try arguments.isOn("live"))
    try writeOutput("ok\n")
    return 0
}
