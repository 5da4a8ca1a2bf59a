import Testing

@testable import ExemplarServer

/// Parsers of the kernel's files, on their texts.
@Suite struct UsableCoresTests {
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

    @Test func theSmallerOfAffinityAndQuotaCounts() {
        #expect(UsableCores(affinity: 8, quota: nil).count == 8)
        #expect(UsableCores(affinity: 8, quota: 1.5).count == 1)
        #expect(UsableCores(affinity: 8, quota: 0.25).count == 1)
        #expect(UsableCores(affinity: 2, quota: 16).count == 2)
        #expect(UsableCores.current().count >= 1)
    }
}
