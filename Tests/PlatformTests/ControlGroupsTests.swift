import Platform
import Testing

/// Where the files of a process's control groups lie, by the text of its `/proc/self/cgroup`.
@Suite struct ControlGroupsTests {
    @Test func aUnifiedGroupStandsInEveryGroupAboveIt() {
        #expect(
            ControlGroups("0::/system.slice/exemplar.service\n").unifiedFiles("memory.max") == [
                "/sys/fs/cgroup/system.slice/exemplar.service/memory.max", "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ])
        // In a container, where the group is the root of its namespace.
        #expect(ControlGroups("0::/\n").unifiedFiles("cpu.max") == ["/sys/fs/cgroup/cpu.max"])
    }

    @Test func aLegacyGroupIsThatOfItsController() {
        let groups = ControlGroups(
            """
            12:cpu,cpuacct:/docker/abc
            9:hugetlb,memory:/docker/a:b
            3:cpuset:/e
            1:name=systemd:/docker/abc
            """)
        #expect(
            groups.legacyFiles("memory.limit_in_bytes", of: "memory") == [
                "/sys/fs/cgroup/memory/docker/a:b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ])
        #expect(
            groups.legacyFiles("cpu.stat", of: "cpu") == [
                "/sys/fs/cgroup/cpu/docker/abc/cpu.stat", "/sys/fs/cgroup/cpu/docker/cpu.stat",
                "/sys/fs/cgroup/cpu/cpu.stat",
            ])
        #expect(groups.legacyFiles("a", of: "pids").isEmpty)
        #expect(groups.unifiedFiles("memory.max").isEmpty)
    }

    @Test func whatIsNoGroup() {
        for text in ["", "memory\n::\n0:x\n0::relative\n"] {
            let groups = ControlGroups(text)
            #expect(groups.unifiedFiles("a").isEmpty && groups.legacyFiles("a", of: "memory").isEmpty, "\(text)")
        }
    }

    @Test func aFileThatIsNotThere() {
        #expect(kernelFile("/nonexistent") == nil)
        #expect(kernelFile("/proc/self/stat")?.isEmpty == false)
    }
}
