import ExemplarNetwork
import Glibc

/// Small files in folders, as the kernel has them in /sys; gone with the last reference.
public final class FileTree {
    public let path: String
    /// Paths of files and folders, each behind the folder that it lies in.
    private var made: [String] = []

    /// - Parameter files: their texts by their paths in the tree.
    public init(_ files: KeyValuePairs<String, String>) throws {
        var template = Array("/tmp/exemplar-tree-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw ModelError("no temporary folder: \(errno)") }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        for (name, text) in files {
            let parts = name.split(separator: "/")
            for depth in 1..<parts.count {
                let folder = ([path] + parts[..<depth].map(String.init)).joined(separator: "/")
                if mkdir(folder, 0o700) == 0 { made.append(folder) }
            }
            guard let file = fopen("\(path)/\(name)", "w") else { throw ModelError("\(path)/\(name): \(errno)") }
            fputs(text, file)
            fclose(file)
            made.append("\(path)/\(name)")
        }
    }

    deinit { for path in made.reversed() + [path] { remove(path) } }
}
