import CPlatform
import Glibc
import JSONRPC

/// One line an event on standard error, as text or as JSON. What requests hold is never logged.
public struct Log: Sendable {
    public enum Format: String, CaseIterable, Sendable {
        case text
        case json
    }

    public enum Level: String, CaseIterable, Sendable {
        case debug
        case info
        case warning
        case error

        fileprivate var order: Int {
            switch self {
            case .debug: 0
            case .info: 1
            case .warning: 2
            case .error: 3
            }
        }
    }

    let format: Format
    let level: Level

    /// Something that operators ask about seldom: a connection opened or closed.
    func debug(_ message: String, _ fields: [JSONValue.Member] = []) { write(.debug, message, fields) }
    /// What scripts wait for: written whatever the level is.
    func announce(_ message: String) { write(.info, message, [], isAlways: true) }
    /// A step of the life cycle.
    func info(_ message: String, _ fields: [JSONValue.Member] = []) { write(.info, message, fields) }
    /// Something to look after; the server goes on.
    func warning(_ message: String, _ fields: [JSONValue.Member] = []) { write(.warning, message, fields) }
    /// Something failed.
    func error(_ message: String, _ fields: [JSONValue.Member] = []) { write(.error, message, fields) }

    private func write(_ level: Level, _ message: String, _ fields: [JSONValue.Member], isAlways: Bool = false) {
        guard isAlways || level.order >= self.level.order else { return }
        var line = ByteBuffer()
        switch format {
        case .text:
            line.append(utf8: "\(Self.timestamp()) \(level.rawValue) \(message.printable)")
            for field in fields {
                line.append(utf8: " \(field.key)=")
                line.append(json: field.value)
            }
        case .json:
            let head: [JSONValue.Member] = [
                .init("time", .string(Self.timestamp())), .init("level", .string(level.rawValue)),
                .init("message", .string(message)),
            ]
            line.append(json: .object(head + fields))
        }
        line.append(UInt8(ascii: "\n"))
        line.withUnsafeBytes(Self.sink.write)
    }

    private static let sink = LogSink(STDERR_FILENO)

    /// Universal time to the millisecond, in ISO 8601.
    private static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        gmtime_r(&now.tv_sec, &parts)
        func digits(_ number: Int, _ width: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        let date = "\(parts.tm_year + 1900)-\(digits(Int(parts.tm_mon) + 1, 2))-\(digits(Int(parts.tm_mday), 2))"
        let time = "\(digits(Int(parts.tm_hour), 2)):\(digits(Int(parts.tm_min), 2)):\(digits(Int(parts.tm_sec), 2))"
        return "\(date)T\(time).\(digits(now.tv_nsec / 1_000_000, 3))Z"
    }
}

/// Where the log goes. What nobody reads must not hold up the server: what would block is dropped.
struct LogSink: Sendable {
    private enum Kind: Sendable {
        /// Its calls never block: a file, or a pipe or terminal that was opened anew for that.
        case ready
        case socket
        /// It is asked first, which is not the same: another thread may fill it in between.
        case other
    }

    private let descriptor: Int32
    private let kind: Kind

    /// A pipe or a terminal is the same for every process that has it, and so is whether it blocks: the server opens
    /// one of its own. Where that is not allowed, or there is no /proc, it makes do with the one that it was given.
    init(_ descriptor: Int32) {
        var status = stat()
        let type = fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
        var own: Int32 = -1
        if type == S_IFIFO || type == S_IFCHR {
            own = open("/proc/self/fd/\(descriptor)", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        }
        self.descriptor = own >= 0 ? own : descriptor
        kind = own >= 0 || type == S_IFREG ? .ready : type == S_IFSOCK ? .socket : .other
    }

    /// Writes a line, or as much of it as there is room for. A pipe that can take anything can take 4,096 bytes: nearly
    /// every line is one write, so that lines of several threads do not mix.
    func write(_ line: UnsafeRawBufferPointer) {
        var rest = line[...]
        while !rest.isEmpty {
            let count = write(part: UnsafeRawBufferPointer(rebasing: rest.prefix(4096)))
            guard count > 0 || count < 0 && errno == EINTR else { return }
            rest = rest.dropFirst(max(0, count))
        }
    }

    private func write(part: UnsafeRawBufferPointer) -> Int {
        switch kind {
        case .ready: return Glibc.write(descriptor, part.baseAddress, part.count)
        case .socket:
            return send(descriptor, part.baseAddress, part.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
        case .other:
            var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&ready, 1, 0) == 1 else { return 0 }
            return Glibc.write(descriptor, part.baseAddress, part.count)
        }
    }
}

/// Keeps what clients can bring about at will from filling the log: once in ten seconds it may be written.
struct LogLimit {
    private var next: ContinuousClock.Instant?
    private var count = 0

    /// How often it came about since it was last written, this time counted; nil where it is not to be written now.
    mutating func pass(_ now: ContinuousClock.Instant) -> Int? {
        count += 1
        if let next, now < next { return nil }
        defer { count = 0 }
        next = now + .seconds(10)
        return count
    }
}
