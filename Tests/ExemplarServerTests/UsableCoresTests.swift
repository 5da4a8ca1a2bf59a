import JSONRPC
import Platform
import TestSupport
import Testing

@testable import ExemplarServer

/// The kernel's files, by their texts and in trees of them; and a server that counts its cores.
@Suite(.waiting) struct UsableCoresTests {
    @Test func unifiedQuotas() {
        #expect(UsableCores.unifiedQuota("200000 100000\n") == 2)
        #expect(UsableCores.unifiedQuota("50000 100000\n") == 0.5)
        for text in ["max 100000\n", "", "max", "0 100000", "1 0", "a b", "1 2 3"] {
            #expect(UsableCores.unifiedQuota(text) == nil, "\(text)")
        }
    }

    @Test func legacyQuotas() {
        #expect(UsableCores.legacyQuota(quota: "150000\n", period: "100000\n") == 1.5)
        #expect(UsableCores.legacyQuota(quota: "-1\n", period: "100000\n") == nil)
        #expect(UsableCores.legacyQuota(quota: "", period: "100000\n") == nil)
    }

    /// The quota of a group holds for all groups in it, whatever theirs are.
    @Test func theSmallestQuotaUpToTheRootHolds() throws {
        for (inner, outer, quota) in [
            ("150000 100000\n", "max 100000\n", 1.5), ("max 100000\n", "50000 100000\n", 0.5),
            ("400000 100000\n", "300000 100000\n", 3), ("200000 100000\n", "700000 200000\n", 2),
            ("max 100000\n", "max 100000\n", nil),
        ] {
            // The root has none.
            let tree = try FileTree(["a/b/cpu.max": inner, "a/cpu.max": outer])
            #expect(UsableCores.quota(of: ControlGroups("0::/a/b\n", root: tree.path)) == quota, "\(inner)\(outer)")
            // Those of a neighbour do not count.
            #expect(UsableCores.quota(of: ControlGroups("0::/c\n", root: tree.path)) == nil)
        }
    }

    @Test func legacyQuotasUpToTheRootHold() throws {
        let tree = try FileTree([
            "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n",
            "cpu/a/cpu.cfs_quota_us": "120000\n", "cpu/a/cpu.cfs_period_us": "50000\n",
            "cpu/a/b/cpu.cfs_quota_us": "900000\n", "cpu/a/b/cpu.cfs_period_us": "100000\n",
        ])
        func quota(_ text: String) -> Double? { UsableCores.quota(of: ControlGroups(text, root: tree.path)) }
        #expect(quota("4:cpu,cpuacct:/a/b\n0::/a/b\n") == 2.4)
        #expect(quota("4:cpuset:/a/b\n0::/a/b\n") == nil)
        #expect(quota("4:cpu:/\n") == nil)
    }

    /// On a machine of many cores, too, a server that may use one of them has one worker.
    @Test func aServerOfOneCoreHasOneWorker() throws {
        let status = try #require(kernelFile("/proc/self/status"))
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") })
        let core = try #require(line.split { !$0.isNumber }.first.flatMap { Int($0) })
        let model = try TemporaryModel(.tiny())
        let server = try ServerProcess(launching: ["serve", "--port", "0", "--model", model.path], core: core)
        try server.waitUntilItListens()
        let start = try server.waitForLog("info starting")
        #expect(start.contains(" threads=1 ") && start.contains(" affinity=1 "), "\(start)")
        let stats = try server.connect().ask(LifeCycleTests.call("stats")).result
        #expect(stats?["workers"]?["count"] == 1)
    }

    @Test func theSmallerOfAffinityAndQuotaCounts() {
        #expect(UsableCores(affinity: 8, quota: nil).count == 8)
        #expect(UsableCores(affinity: 8, quota: 1.5).count == 1)
        #expect(UsableCores(affinity: 8, quota: 0.25).count == 1)
        #expect(UsableCores(affinity: 2, quota: 16).count == 2)
        #expect(UsableCores.current().count >= 1)
    }
}
