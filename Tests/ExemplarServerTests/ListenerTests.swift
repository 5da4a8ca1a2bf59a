import CPlatform
import Glibc
import TestSupport
import Testing

@testable import ExemplarServer

/// Sockets as the system has them: which address is listened on, and what becomes of clients that vanish.
@Suite struct ListenerTests {
    private func accept(_ listener: Listener) throws -> Int32 {
        var accepted: Int32 = -1
        try waitUntil("nobody comes") {
            guard case .connection(let descriptor) = listener.accept() else { return false }
            accepted = descriptor
            return true
        }
        return accepted
    }

    private func port(of listener: Listener) throws -> UInt16 {
        try #require(listener.name.split(separator: ":").last.flatMap { UInt16($0) })
    }

    private func option(_ level: Int32, _ name: Int32, of descriptor: Int32) -> Int32 {
        var value: Int32 = -1
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, level, name, &value, &size) == 0 ? value : -1
    }

    /// A machine that is switched off sends no end: whoever does not answer for two minutes is gone.
    @Test func peersThatVanishAreNoticed() throws {
        let listener = try Listener.tcp(host: "127.0.0.1", port: 0)
        let client = try LineSocket(port: port(of: listener))
        let accepted = try accept(listener)
        defer { close(accepted) }
        let tcp = Int32(IPPROTO_TCP)
        #expect(option(SOL_SOCKET, SO_KEEPALIVE, of: accepted) == 1)
        let (idle, interval) = (option(tcp, TCP_KEEPIDLE, of: accepted), option(tcp, TCP_KEEPINTVL, of: accepted))
        let count = option(tcp, TCP_KEEPCNT, of: accepted)
        #expect(idle > 0 && interval > 0 && count > 0 && idle + interval * count == 120)
        #expect(option(tcp, TCP_NODELAY, of: accepted) == 1)
        withExtendedLifetime(client) {}
    }

    /// Nor does somebody who takes nothing stay for longer, unless `--write-timeout` lets clients rest for longer.
    @Test(arguments: [(nil, 120), (5, 120), (600, 600), (1e9, 1 << 30 / 1000)] as [(Double?, Int)])
    func whoTakesNothingIsGone(patience: Double?, seconds: Int) throws {
        let listener = try Listener.tcp(host: "127.0.0.1", port: 0)
        if let patience { listener.allowSilence(of: .seconds(patience)) }
        let client = try LineSocket(port: port(of: listener))
        let accepted = try accept(listener)
        defer { close(accepted) }
        #expect(option(Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, of: accepted) / 1000 == seconds)
        withExtendedLifetime(client) {}
    }

    /// 127.0.0.0/8 and ::1 alone are reached from nowhere else. IPv4 in an address of IPv6 is not looked into: who
    /// wants that gives a token.
    @Test(arguments: [
        ("127.0.0.0", true), ("127.0.0.1", true), ("127.9.9.9", true), ("127.255.255.255", true),
        ("126.255.255.255", false), ("128.0.0.1", false), ("10.0.0.1", false), ("10.127.0.1", false),
        ("0.0.0.0", false), ("1.0.0.127", false), ("::1", true), ("::2", false), ("::", false), ("::1:2", false),
        ("::1:1", false), ("1::1", false), ("::127.0.0.1", false), ("::ffff:127.0.0.1", false), ("7f00::1", false),
    ])
    func addressesOfThisMachineAlone(_ address: String, isLoopback: Bool) throws {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICHOST
        var found: UnsafeMutablePointer<addrinfo>?
        try #require(getaddrinfo(address, "7350", &hints, &found) == 0)
        let first = try #require(found)
        defer { freeaddrinfo(first) }
        #expect(Listener.isLoopback(first.pointee) == isLoopback)
    }

    /// A name has several addresses: `localhost` those of both versions, of which a machine may lack one.
    @Test func theFirstAddressThatCanBeHad() throws {
        let taken = try Listener.tcp(host: "127.0.0.1", port: 0)
        let takenPort = try port(of: taken)
        func address(_ port: UInt16) throws -> UnsafeMutablePointer<addrinfo> {
            var hints = addrinfo()
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            var found: UnsafeMutablePointer<addrinfo>?
            try #require(getaddrinfo("127.0.0.1", String(port), &hints, &found) == 0)
            return try #require(found)
        }
        let (first, second) = (try address(takenPort), try address(0))
        first.pointee.ai_next = second
        let listener = try Listener.tcp(firstOf: first, host: "127.0.0.1", port: 0, flag: "--port")
        #expect(try port(of: listener) != takenPort)
        let client = try LineSocket(port: port(of: listener))
        close(try accept(listener))
        withExtendedLifetime(client) {}
        // Where none can be had the last says why.
        first.pointee.ai_next = nil
        let error = #expect(throws: ServerError.self) {
            try Listener.tcp(firstOf: first, host: "127.0.0.1", port: takenPort, flag: "--port")
        }
        #expect(error?.description.contains("is in use by another process") ?? false)
        freeaddrinfo(first)
        freeaddrinfo(second)
    }
}
