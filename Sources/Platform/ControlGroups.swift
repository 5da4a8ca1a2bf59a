/// The control groups of a process, and the files that limit or count what it uses (cgroups(7)).
public struct ControlGroups: Sendable {
    /// Names of the groups from the root down to the process's own, by controller; "" is version 2.
    private var groups: [(controllers: [Substring], names: [Substring])] = []
    private let root: String

    /// - Parameters:
    ///   - text: `/proc/self/cgroup`: lines such as `0::/a/b`, version 2, and `9:memory:/a/b`, version 1.
    ///   - root: the folder in which the hierarchies lie.
    public init(_ text: String, root: String = "/sys/fs/cgroup") {
        self.root = root
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3, fields[2].hasPrefix("/"), fields[0] == "0" || !fields[1].isEmpty else { continue }
            groups.append(
                (fields[1].split(separator: ",", omittingEmptySubsequences: false), fields[2].split(separator: "/")))
        }
    }

    /// Of this process, now.
    public static func current() -> ControlGroups { ControlGroups(kernelFile("/proc/self/cgroup") ?? "") }

    /// The file `name` of version 2 in the process's group and in every group above it, innermost first. A container
    /// sees its own group as the root.
    public func unifiedFiles(_ name: String) -> [String] { files("", root, name) }

    /// The file `name` of version 1, alike, in the hierarchy of `controller`.
    public func legacyFiles(_ name: String, of controller: String) -> [String] {
        files(controller, "\(root)/\(controller)", name)
    }

    private func files(_ controller: String, _ folder: String, _ name: String) -> [String] {
        groups.filter { $0.controllers.contains { $0 == controller } }.flatMap { group in
            stride(from: group.names.count, through: 0, by: -1).map { depth in
                ([folder] + group.names[..<depth].map(String.init) + [name]).joined(separator: "/")
            }
        }
    }
}
