import ExemplarNetwork
import FoundationEssentials
import Glibc
import KernelInterface

/// Does commands from standard input, one a line, until it ends.
struct Worker {
    private var network: LoadedNetwork?

    init() {}

    mutating func run() {
        let encoder = JSONEncoder()
        while let line = readLine() {
            var reply: Reply
            do {
                reply = try handle(line)
            } catch {
                reply = Reply(error: error.sentence)
            }
            guard let bytes = try? encoder.encode(reply) else { continue }
            print(String(decoding: bytes, as: UTF8.self))
            fflush(nil)
        }
        network?.dismiss()
    }

    private mutating func handle(_ line: String) throws(CommandError) -> Reply {
        let command: Command
        do {
            command = try JSONDecoder().decode(Command.self, from: Data(line.utf8))
        } catch {
            throw CommandError("Not a command: \(line)")
        }
        switch command.command {
        case .machine:
            return Reply(instructionSets: InstructionSet.available.map(\.rawValue))
        case .load:
            try load(command)
            return Reply()
        case .outputs:
            try loaded().writeOutputs(
                of: required(command.patches, "patches"), to: required(command.output, "output"))
            return Reply()
        case .run:
            return try loaded().run(seconds: seconds(command))
        case .multiplyAdd:
            return Reply(
                gflops: try Probes.multiplyAdd(
                    instructionSet(command), cores: cores(command), seconds: seconds(command)))
        case .read:
            return Reply(
                bytesPerSecond: try Probes.read(
                    instructionSet(command), cores: cores(command), bytes: required(command.bytes, "bytes"),
                    seconds: seconds(command)))
        }
    }

    private mutating func load(_ command: Command) throws(CommandError) {
        network?.dismiss()
        network = nil
        guard let accuracy = Accuracy(rawValue: command.accuracy ?? Accuracy.standard.rawValue) else {
            throw CommandError(
                "\"accuracy\" must be one of " + Accuracy.allCases.map(\.rawValue).joined(separator: ", "))
        }
        network = try LoadedNetwork(
            folder: required(command.folder, "folder"), batch: required(command.batch, "batch"),
            draws: command.draws ?? false, cores: cores(command), accuracy: accuracy,
            instructionSet: instructionSet(command),
            timed: command.timed ?? false)
    }

    private func loaded() throws(CommandError) -> LoadedNetwork {
        guard let network else { throw CommandError("Load a network first") }
        return network
    }

    private func required<Value>(_ value: Value?, _ name: String) throws(CommandError) -> Value {
        guard let value else { throw CommandError("\"\(name)\" is missing") }
        return value
    }

    private func seconds(_ command: Command) throws(CommandError) -> Double {
        let seconds = try required(command.seconds, "seconds")
        guard (0...3600).contains(seconds) else { throw CommandError("\"seconds\" must be 0 to 3600") }
        return seconds
    }

    private func cores(_ command: Command) throws(CommandError) -> [Int] {
        let cores = try required(command.cores, "cores")
        guard !cores.isEmpty else { throw CommandError("\"cores\" names no core") }
        return cores
    }

    private func instructionSet(_ command: Command) throws(CommandError) -> InstructionSet {
        guard let name = command.instructionSet else { return .best }
        guard let set = InstructionSet(rawValue: name), InstructionSet.available.contains(set) else {
            throw CommandError(
                "This CPU cannot run \(name); it has "
                    + InstructionSet.available.map(\.rawValue).joined(separator: ", "))
        }
        return set
    }
}
