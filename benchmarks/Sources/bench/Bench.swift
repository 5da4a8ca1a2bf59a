import ExemplarNetwork
import KernelInterface

/// `bench worker`: loads networks and times them, one command a line; see benchmarks/README.md.
@main
struct Bench {
    static func main() {
        switch CommandLine.arguments.dropFirst() {
        case ["worker"]:
            var worker = Worker()
            worker.run()
        case ["--help"], ["-h"]: print(help)
        default:
            StandardError.write(
                "usage: bench worker, or bench --help; benchmarks/run starts it and writes the report.\n")
            StandardError.exit(64)
        }
    }

    private static let help = """
        bench worker   reads commands from standard input, JSON, one a line, and answers each with one line:

          {"command": "machine"}
          {"command": "load", "folder": PATH, "batch": 8, "draws": false, "cores": [0], "accuracy": "standard",
           "instruction_set": "avx2", "timed": false}
          {"command": "outputs", "patches": PATH, "output": PATH}
          {"command": "run", "seconds": 0.5}
          {"command": "multiply_add", "seconds": 0.05, "cores": [0], "instruction_set": "avx2"}
          {"command": "read", "seconds": 0.1, "cores": [0], "bytes": 268435456}

        This machine has \(InstructionSet.available.map(\.rawValue).joined(separator: ", ")).
        """
}
