import Batching
import Glibc
import TestSupport

/// `exemplar serve` as a process of its own, from the folder that the tests were built in; killed with the last
/// reference.
///
/// A process, because signals, limits on descriptors and what it leaves behind belong to one.
final class ServerProcess {
    let identifier: pid_t
    /// What it has logged so far, as far as it was read.
    private(set) var log = ""
    private let standardError: Int32
    private var status: Int32?

    /// Where the server listens, by its own words.
    private(set) var port: UInt16 = 0

    /// Starts a server and waits until it listens.
    ///
    /// - Parameters:
    ///   - descriptors: the limit on open files, the system's where nil.
    convenience init(_ arguments: [String], threads: Int = 2, descriptors: Int? = nil) throws {
        try self.init(
            launching: ["serve", "--port", "0", "--threads", "\(threads)"] + arguments, descriptors: descriptors,
            variables: Self.variables)
        try waitUntilItListens()
    }

    /// What arguments may say otherwise: clocks that stop no client of a test that is itself kept from its core; and
    /// several event loops where a sanitizer looks for races between them.
    private static let variables: [String: String] = {
        let clocks = ["READ", "LINE", "WRITE", "AUTH", "DRAIN"].map { ("EXEMPLAR_\($0)_TIMEOUT", "600") }
        return Dictionary(uniqueKeysWithValues: clocks + (isInstrumented ? [("EXEMPLAR_EVENT_LOOPS", "3")] : []))
    }()

    /// Reads the log up to the line that has the port.
    func waitUntilItListens() throws {
        let line = try waitForLog("listening on ")
        guard let port = line.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw TestFailure("no port in: \(line)")
        }
        self.port = port
    }

    /// Starts a server that serves `model` alone.
    convenience init(model: String, _ arguments: [String] = [], threads: Int = 2, descriptors: Int? = nil) throws {
        try self.init(["--model", model] + arguments, threads: threads, descriptors: descriptors)
    }

    /// Starts the program and waits for nothing.
    ///
    /// - Parameters:
    ///   - core: the only one that it may use; nil for all.
    ///   - log: the file that it logs to, in place of a pipe to the test.
    ///   - limit: a command of the shell's, for what the process may have.
    ///   - variables: of its environment.
    init(
        launching arguments: [String], descriptors: Int? = nil, core: Int? = nil, log: String? = nil,
        limit: String = "", variables: [String: String] = [:]
    ) throws {
        var limits = (descriptors.map { "ulimit -n \($0); " } ?? "") + limit
        if let core { limits += "taskset -cp \(core) $$ >&2 || exit 127; " }
        let target = log.map { " 2>>'\($0)'" } ?? ""
        let words =
            ["/bin/sh", "-c", limits + "exec \"$0\" \"$@\"" + target, try ChildProcess.exemplar()] + arguments
        // Variables of whoever runs the tests must not change what is tested.
        let kept: [String] = ["PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "TSAN_OPTIONS"]
        let environment = kept.compactMap { name -> String? in
            let value = getenv(name).map { String(cString: $0) }
            // A race that the thread sanitizer finds must end the server, or no test would hear of it.
            guard name == "TSAN_OPTIONS" else { return value.map { name + "=" + $0 } }
            return name + "=" + (value.map { $0 + ":" } ?? "") + "halt_on_error=1"
        }
        let child = try ChildProcess(words, environment: environment + variables.map { $0 + "=" + $1 })
        (identifier, standardError) = (child.identifier, child.standardError)
    }

    deinit {
        if status == nil {
            kill(identifier, SIGKILL)
            var ignored: Int32 = 0
            waitpid(identifier, &ignored, 0)
        }
        close(standardError)
    }

    func send(_ signal: Int32) { kill(identifier, signal) }

    /// Stops the process, and returns once it stands still; SIGCONT lets it go on.
    func pause() throws {
        send(SIGSTOP)
        var raw: Int32 = 0
        guard waitpid(identifier, &raw, WUNTRACED) == identifier, raw & 0xFF == 0x7F else {
            throw TestFailure("the server does not stop: \(raw)")
        }
    }

    /// Reads the log until a line holds `text`, and returns that line.
    ///
    /// - Parameter skip: how many such lines to pass over.
    @discardableResult
    func waitForLog(_ text: String, skip: Int = 0) throws -> String { try waitForLog(of: [text], skip: skip) }

    /// As `waitForLog`, for a line that holds any of `texts`.
    @discardableResult
    func waitForLog(of texts: [String], skip: Int = 0) throws -> String {
        while true {
            let lines = log.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            let found = lines.filter { line in texts.contains { line.contains($0) } }
            if found.count > skip { return String(found[skip]) }
            guard readLog() else { throw TestFailure("the log has no '\(texts)':\n\(log)") }
        }
    }

    /// Waits for the process's end; its exit status, or 128 and the signal that ended it.
    func waitForExit() throws -> Int32 {
        while readLog() {}
        if let status { return status }
        // Where its log is not the test's to read, nothing else tells of one that hangs.
        var raw: Int32 = 0
        let deadline = ContinuousClock.now + .seconds(Patience.seconds)
        while true {
            let ended = waitpid(identifier, &raw, WNOHANG)
            if ended == identifier { break }
            guard ended == 0 else { throw TestFailure("waitpid: \(errno)") }
            guard .now < deadline else { throw TestFailure("the server does not end:\n\(log)") }
            usleep(10_000)
        }
        let ended = raw & 0x7F == 0 ? raw >> 8 & 0xFF : 128 + raw & 0x7F
        status = ended
        return ended
    }

    /// Takes in the next part of the log; false at its end, and when the server is silent for so long that it hangs.
    private func readLog() -> Bool {
        var waiting = pollfd(fd: standardError, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, Patience.milliseconds) == 1 else {
            log += "(and then nothing)\n"
            kill(identifier, SIGKILL)
            return false
        }
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(standardError, &chunk, chunk.count)
        guard count > 0 else { return false }
        log += String(decoding: chunk.prefix(count), as: UTF8.self)
        return true
    }

    /// The process's resident memory in bytes.
    func residentBytes() throws -> Int { try memory(1) }

    /// Bytes of the addresses that it has mapped.
    func mappedBytes() throws -> Int { try memory(0) }

    /// - Parameter word: of the kernel's file, which counts pages.
    private func memory(_ word: Int) throws -> Int {
        guard let file = fopen("/proc/\(identifier)/statm", "r") else {
            throw TestFailure("the server is gone:\n\(log)")
        }
        defer { fclose(file) }
        var text = [CChar](repeating: 0, count: 256)
        fgets(&text, 256, file)
        let words = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self).split(
            separator: " ")
        guard words.count > word, let pages = Int(words[word]) else { throw TestFailure("statm: \(words)") }
        return pages * Int(getpagesize())
    }

    /// Files and sockets that the process has open.
    func openDescriptorCount() throws -> Int {
        guard let folder = opendir("/proc/\(identifier)/fd") else { throw TestFailure("the server is gone:\n\(log)") }
        defer { closedir(folder) }
        var count = 0
        while let entry = readdir(folder) { if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 } }
        return count
    }

    /// A new connection to it.
    func connect(receiveBuffer: Int32? = nil) throws -> LineSocket {
        try LineSocket(port: port, of: self, receiveBuffer: receiveBuffer)
    }
}

/// How long a test waits before it says that something hangs. No test measures time by it.
enum Patience {
    /// Sanitizers make debug builds ten times slower, and the suites run side by side.
    static let seconds = isInstrumented ? 180 : 30
    static let milliseconds = Int32(seconds * 1000)
}

/// Asks every 10 ms whether it is so.
///
/// - Parameter complaint: what is wrong where it never is.
func waitUntil(_ complaint: @autoclosure () -> String, _ isSo: () throws -> Bool) throws {
    for attempt in 0... {
        if try isSo() { return }
        guard attempt < 100 * Patience.seconds else { throw TestFailure(complaint()) }
        usleep(10_000)
    }
}

struct TestFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
