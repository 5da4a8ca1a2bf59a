import Glibc

/// A growable run of bytes with a read end and a write end: bytes are appended at the back and consumed at the front.
///
/// Appending is amortised constant time per byte, and an emptied buffer keeps its storage for the next use. A value
/// type: copies share storage until one of them is written to.
public struct ByteBuffer: @unchecked Sendable {
    // Unchecked because `Storage` is mutable; it is only written to while one buffer alone refers to it.
    private var storage: Storage?
    private var lower = 0
    private var upper = 0

    private final class Storage {
        let base: UnsafeMutableRawPointer
        let capacity: Int

        init(capacity: Int) {
            base = .allocate(byteCount: capacity, alignment: 16)
            self.capacity = capacity
        }

        deinit { base.deallocate() }
    }

    /// An empty buffer with room for `capacity` bytes.
    public init(capacity: Int = 0) {
        if capacity > 0 { storage = Storage(capacity: capacity) }
    }

    /// The number of bytes that have been appended and not consumed.
    public var count: Int { upper - lower }

    /// Whether every appended byte has been consumed.
    public var isEmpty: Bool { lower == upper }

    /// The bytes of storage held, used or not.
    public var capacity: Int { storage?.capacity ?? 0 }

    /// The unconsumed bytes, by pointer: valid until the next mutation of this buffer, of which optimized code may take
    /// an early part, the release of storage. What is read for a mutation is read in `withUnsafeBytes`.
    var readable: UnsafeRawBufferPointer {
        guard let storage else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: storage.base + lower, count: upper - lower)
    }

    /// Calls `body` with the unconsumed bytes.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(storage) {} }
        return try body(readable)
    }

    /// Appends one byte.
    public mutating func append(_ byte: UInt8) {
        space(1).storeBytes(of: byte, as: UInt8.self)
        upper += 1
    }

    /// Appends a copy of `bytes`.
    public mutating func append(contentsOf bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        memcpy(space(bytes.count), source, bytes.count)
        upper += bytes.count
    }

    /// Appends a copy of `other`'s unconsumed bytes.
    public mutating func append(contentsOf other: ByteBuffer) {
        let other = other
        other.withUnsafeBytes { append(contentsOf: $0) }
    }

    /// Appends literal text.
    public mutating func append(_ text: StaticString) {
        append(contentsOf: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Appends the UTF-8 of `text`.
    public mutating func append(utf8 text: String) {
        var text = text
        text.withUTF8 { append(contentsOf: UnsafeRawBufferPointer($0)) }
    }

    /// Makes room for `maximum` bytes, lets `body` write to it, and appends as many as `body` says that it wrote.
    public mutating func append(maximum: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        let written = body(UnsafeMutableRawBufferPointer(start: space(maximum), count: maximum))
        upper += min(max(written, 0), maximum)
    }

    /// Removes `count` bytes from the front, or all there are.
    public mutating func consume(_ count: Int) {
        lower += min(max(count, 0), upper - lower)
        if lower == upper {
            lower = 0
            upper = 0
        }
    }

    /// Removes every byte, and returns the storage too if it is larger than `capacity` bytes.
    public mutating func removeAll(keepingCapacityUpTo capacity: Int = .max) {
        lower = 0
        upper = 0
        if self.capacity > capacity { storage = nil }
    }

    /// Returns storage of which less than a quarter is used, where it is larger than `capacity` bytes: what is appended
    /// next doubles what is left, and as much again must be consumed before it is worth the copy once more.
    public mutating func trim(keepingCapacityUpTo capacity: Int) {
        guard self.capacity > max(capacity, 4 * count) else { return }
        var smaller = ByteBuffer(capacity: count)
        withUnsafeBytes { smaller.append(contentsOf: $0) }
        self = smaller
    }

    /// Makes sure that `count` more bytes fit, and returns where they go.
    private mutating func space(_ count: Int) -> UnsafeMutableRawPointer {
        if isKnownUniquelyReferenced(&storage), let storage, storage.capacity - upper >= count {
            return storage.base + upper
        }
        return makeSpace(count)
    }

    @inline(never)
    private mutating func makeSpace(_ count: Int) -> UnsafeMutableRawPointer {
        let used = upper - lower
        let target: Storage
        if isKnownUniquelyReferenced(&storage), let storage, storage.capacity - used >= count, lower >= used {
            target = storage
        } else {
            target = Storage(capacity: max(capacity * 2, used + count, 256))
        }
        if let storage, used > 0 {
            // The pointer alone keeps nothing: optimized code may release what is replaced below before it is read.
            withExtendedLifetime(storage) { _ = memmove(target.base, storage.base + lower, used) }
        }
        storage = target
        lower = 0
        upper = used
        return target.base + used
    }
}
