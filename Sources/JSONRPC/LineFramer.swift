import Glibc

/// What `LineFramer` hands out: a line, or the news that one was too long.
public enum Frame {
    /// The bytes of one line without its LF or CR LF, never empty. Valid until the framer is next mutated. Of a line
    /// that begins with what no text begins with, that byte alone: it says all there is to say.
    case line(UnsafeRawBufferPointer)

    /// A line passed the limit. Its bytes are dropped up to the next LF; what follows is framed as usual.
    case tooLong
}

/// Cuts a stream of bytes into lines ended by LF, storing no more than one line limit beyond what was fed last.
///
/// The frames are the same however the stream was split into chunks. The limit counts the bytes before the LF or CR LF.
/// A line that begins as no text does is handed out, and the rest of it dropped, before its LF has come: who speaks TLS
/// to a port that does not learns it at once. Feed it with `append(_:)`, then call `nextLine()` until it returns nil,
/// and only then feed it again.
public struct LineFramer {
    /// The longest line in bytes, not counting its LF.
    public var maxLineBytes: Int

    private var buffer = ByteBuffer()
    /// Bytes at the front of `buffer` that belong to the line handed out last.
    private var spent = 0
    /// Bytes of `buffer` after `spent` known to hold no LF, so that no byte is searched twice.
    private var searched = 0
    private var isDiscarding = false

    /// Storage kept for the next line while no bytes are waiting.
    private static let idleCapacity = 64 * 1024

    /// A framer at the start of a line.
    public init(maxLineBytes: Int) {
        self.maxLineBytes = max(1, maxLineBytes)
    }

    /// The bytes waiting for the rest of their line.
    public var pendingByteCount: Int { buffer.count - spent }

    /// The bytes of storage held.
    public var capacity: Int { buffer.capacity }

    /// Whether the stream stands inside a line: a peer that leaves now has sent half a message.
    public var isInsideLine: Bool { isDiscarding || pendingByteCount > 0 }

    /// Takes in a copy of the next bytes of the stream, except those of a line already found too long.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        releaseSpent()
        var bytes = bytes
        if isDiscarding {
            guard let newline = Self.newline(in: bytes, from: 0) else { return }
            isDiscarding = false
            bytes = UnsafeRawBufferPointer(rebasing: bytes[(newline + 1)...])
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next line, `.tooLong` in place of one that passed the limit, or nil when more bytes are needed.
    public mutating func nextLine() -> Frame? {
        while true {
            releaseSpent()
            let bytes = buffer.readable
            let newline = Self.newline(in: bytes, from: searched)
            if searched == 0, let first = bytes.first, Self.cannotBeginText(first) {
                isDiscarding = newline == nil
                spent = newline.map { $0 + 1 } ?? bytes.count
                return .line(UnsafeRawBufferPointer(rebasing: bytes[..<1]))
            }
            guard let newline else {
                searched = bytes.count
                guard searched > maxLineBytes + (bytes.last == UInt8(ascii: "\r") ? 1 : 0) else { return nil }
                buffer.removeAll(keepingCapacityUpTo: Self.idleCapacity)
                searched = 0
                isDiscarding = true
                return .tooLong
            }
            searched = 0
            spent = newline + 1
            let end = newline > 0 && bytes[newline - 1] == UInt8(ascii: "\r") ? newline - 1 : newline
            if end > maxLineBytes { return .tooLong }
            if end > 0 { return .line(UnsafeRawBufferPointer(rebasing: bytes[..<end])) }
        }
    }

    /// Lets go of the line that was handed out last, and of storage that is not needed without it. Feeding the framer
    /// and asking for the next line do so, too.
    public mutating func releaseLine() {
        releaseSpent()
        // The start of a line, behind many that are gone.
        guard buffer.capacity > Self.idleCapacity, buffer.count <= Self.idleCapacity / 2 else { return }
        var smaller = ByteBuffer()
        buffer.withUnsafeBytes { smaller.append(contentsOf: $0) }
        buffer = smaller
    }

    /// Lets go of all storage, if no bytes wait for the rest of their line: for a stream that rests.
    public mutating func releaseStorage() {
        releaseSpent()
        if buffer.isEmpty { buffer.removeAll(keepingCapacityUpTo: 0) }
    }

    private mutating func releaseSpent() {
        guard spent > 0 else { return }
        buffer.consume(spent)
        spent = 0
        if buffer.isEmpty { buffer.removeAll(keepingCapacityUpTo: Self.idleCapacity) }
    }

    /// Control characters other than white space, and bytes beyond ASCII, with which no JSON text begins.
    private static func cannotBeginText(_ byte: UInt8) -> Bool {
        // White space among them: tab, line feed, carriage return.
        byte < 0x20 && byte != 0x09 && byte != 0x0A && byte != 0x0D || byte >= 0x7F
    }

    private static func newline(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard let base = bytes.baseAddress, start < bytes.count,
            let found = memchr(base + start, 0x0A, bytes.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }
}
