/// Why a command stops: one sentence for standard error and an exit status.
struct CommandError: Error, Equatable {
    var message: String
    /// sysexits' EX_USAGE for a wrong command line, else 1.
    var status: Int32

    var isMisuse: Bool { status == 64 }

    /// The command line is wrong.
    static func usage(_ message: String) -> CommandError { CommandError(message: message, status: 64) }

    /// The command line is right, and yet it did not work.
    static func failure(_ message: String) -> CommandError { CommandError(message: message, status: 1) }
}

/// What `body` throws, as a command's failure; its description is a sentence.
func explained<Value, Failure: Error & CustomStringConvertible>(
    _ body: () throws(Failure) -> Value
) throws(CommandError) -> Value {
    do {
        return try body()
    } catch {
        throw .failure(error.description)
    }
}
