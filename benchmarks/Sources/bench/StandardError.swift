import Glibc

/// What goes wrong outside a command.
enum StandardError {
    static func write(_ text: String) {
        var text = text
        text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    static func exit(_ status: Int32) -> Never { Glibc.exit(status) }
}
