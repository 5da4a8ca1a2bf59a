import Glibc

/// A regular file that was opened and is still to be read, so that its memory can be asked for first.
public struct OpenedFile: ~Copyable {
    public let path: String
    /// As it was when the file was opened; above 0.
    public let byteCount: Int
    fileprivate let descriptor: Int32
    fileprivate let version: Version

    /// What a writer changes; but one through a shared mapping may not, until the kernel writes its pages.
    fileprivate struct Version: Equatable {
        let size: Int
        let seconds: Int
        let nanoseconds: Int

        init(_ status: stat) {
            size = Int(status.st_size)
            seconds = status.st_mtim.tv_sec
            nanoseconds = status.st_mtim.tv_nsec
        }
    }

    /// - Throws: `SafetensorsError` where `path` cannot be opened, is no regular file or is empty.
    public init(path: String) throws(SafetensorsError) {
        // Without O_NONBLOCK a pipe would wait for somebody to write into it.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw SafetensorsError("\(path): cannot be opened: \(String(cString: strerror(errno)))")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw SafetensorsError("\(path): is not a regular file")
        }
        guard status.st_size > 0 else {
            close(descriptor)
            throw SafetensorsError("\(path): is empty")
        }
        self.path = path
        self.descriptor = descriptor
        version = Version(status)
        byteCount = version.size
    }

    deinit { close(descriptor) }

    /// The bytes to ask for before a safetensors file is read: its own, and those of its header twice more, whose texts
    /// are copied once and again, where it is of a size to matter.
    public var safetensorsByteCount: Int {
        var length: UInt64 = 0
        guard pread(descriptor, &length, 8, 0) == 8 else { return byteCount }
        let header = min(UInt64(littleEndian: length), UInt64(SafetensorsFile.maximumHeaderLength))
        // A sparse file may be as long as there are numbers.
        let (sum, overflows) = byteCount.addingReportingOverflow(header > 1 << 20 ? 2 * Int(header) : 0)
        return overflows ? .max : sum
    }

    fileprivate var isUnchanged: Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && Version(status) == version
    }
}

/// The bytes of a file, in memory of their own: a mapping of the file itself would change with it, and reading beyond
/// the end of one that was cut meanwhile would end the process (SIGBUS).
final class FileContents: @unchecked Sendable {
    // Unchecked: the bytes are written before the object is shared, and never after.
    let bytes: UnsafeRawBufferPointer
    private let isMapped: Bool
    /// What the memory is part of; it goes after the memory.
    private let share: (any AnyObject & Sendable)?

    /// Reads the file from its beginning.
    init(
        reading file: borrowing OpenedFile, holding share: (any AnyObject & Sendable)?
    ) throws(SafetensorsError) {
        let (path, count) = (file.path, file.byteCount)
        // Not from the heap: what is unmapped is the system's again at once.
        guard
            let memory = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            memory != MAP_FAILED
        else {
            throw SafetensorsError("\(path): there is no memory for its \(count) bytes: give the process more of it")
        }
        // Half the time of the reading is that of first touching a page. Without huge ones nothing else changes.
        madvise(memory, count, MADV_HUGEPAGE)
        bytes = UnsafeRawBufferPointer(start: memory, count: count)
        isMapped = true
        self.share = share
        var position = 0
        while position < count {
            let part = pread(file.descriptor, memory + position, count - position, position)
            if part < 0, errno == EINTR { continue }
            guard part >= 0 else {
                throw SafetensorsError("\(path): cannot be read: \(String(cString: strerror(errno)))")
            }
            if part == 0 { break }
            position += part
        }
        guard position == count, file.isUnchanged else {
            throw SafetensorsError(
                "\(path): was changed while it was being read: write new files beside the old ones and rename them "
                    + "(mv), then load again")
        }
    }

    init(copying source: [UInt8]) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 1)
        copy.copyBytes(from: source)
        bytes = UnsafeRawBufferPointer(copy)
        isMapped = false
        share = nil
    }

    deinit {
        if isMapped {
            munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
        } else {
            bytes.deallocate()
        }
    }
}
