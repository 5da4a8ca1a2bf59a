/// Bytes that wait to be sent, in as many buffers as it takes: short pieces are copied one behind the other, a long one
/// stays in the buffer that it was written into, since to copy megabytes would hold up whatever else the thread has to
/// do.
public struct ByteQueue: Sendable {
    /// A piece of more bytes keeps its own buffer.
    private static let longPiece = 16 << 10
    /// A buffer of so many bytes takes no further piece.
    private static let fullBuffer = 64 << 10

    /// In their order. The last alone may be empty, and only where there is no other.
    private var buffers: [ByteBuffer] = []
    /// The bytes that wait.
    public private(set) var count = 0
    /// The bytes of storage held, used or not.
    public private(set) var capacity = 0

    public init() {}

    /// Whether nothing waits.
    public var isEmpty: Bool { count == 0 }

    /// Puts literal text behind what waits.
    public mutating func append(_ text: StaticString) {
        withLast(adding: text.utf8CodeUnitCount) { $0.append(text) }
    }

    /// Puts the bytes of `piece` behind what waits.
    public mutating func append(_ piece: ByteBuffer) {
        guard piece.count > Self.longPiece else {
            return withLast(adding: piece.count) { $0.append(contentsOf: piece) }
        }
        if isEmpty { removeAll(keepingCapacityUpTo: 0) }
        if buffers.last?.isEmpty ?? false { buffers.removeLast() }
        buffers.append(piece)
        count += piece.count
        capacity += piece.capacity
    }

    /// Puts what waits in `other` behind what waits here.
    public mutating func append(_ other: ByteQueue) {
        for buffer in other.buffers { append(buffer) }
    }

    /// Calls `body` with bytes from the front, as many as lie one behind the other: some, unless none waits.
    public func withFirstBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        guard let first = buffers.first else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        return first.withUnsafeBytes(body)
    }

    /// Removes `number` bytes from the front, or all there are.
    public mutating func consume(_ number: Int) {
        var rest = min(max(number, 0), count)
        count -= rest
        while rest > 0 {
            let part = min(rest, buffers[0].count)
            buffers[0].consume(part)
            rest -= part
            if buffers[0].isEmpty, buffers.count > 1 { capacity -= buffers.removeFirst().capacity }
        }
    }

    /// Removes every byte, and returns the storage but one buffer of at most `limit` bytes.
    public mutating func removeAll(keepingCapacityUpTo limit: Int) {
        if buffers.count > 1 { buffers.removeFirst(buffers.count - 1) }
        if !buffers.isEmpty { buffers[0].removeAll(keepingCapacityUpTo: limit) }
        count = 0
        capacity = buffers.first?.capacity ?? 0
    }

    /// Returns storage at the front of which little is used, as `ByteBuffer.trim` does.
    public mutating func trim(keepingCapacityUpTo limit: Int) {
        guard !buffers.isEmpty else { return }
        capacity -= buffers[0].capacity
        buffers[0].trim(keepingCapacityUpTo: limit)
        capacity += buffers[0].capacity
    }

    /// Has `body` append `number` bytes to the last buffer, or to a new one where that has enough.
    private mutating func withLast(adding number: Int, _ body: (inout ByteBuffer) -> Void) {
        guard number > 0 else { return }
        let used = buffers.last?.count ?? .max
        if used > Self.fullBuffer - number {
            // Behind short pieces come more of them; what stands between long ones is a comma.
            let next = ByteBuffer(capacity: used <= Self.fullBuffer ? Self.fullBuffer : 0)
            buffers.append(next)
            capacity += next.capacity
        }
        let last = buffers.count - 1
        capacity -= buffers[last].capacity
        body(&buffers[last])
        capacity += buffers[last].capacity
        count += number
    }
}
