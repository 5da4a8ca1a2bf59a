import CMicrohttpd
import Glibc
import JSONRPC
import Platform

/// Answers `GET` on a few paths over HTTP/1.1, from a thread of its own, so that it answers however busy the rest is.
///
/// Who may connect is not checked: what it serves holds no secrets, and nothing of what requests hold. Connections,
/// their time and their memory are bounded, in all and for each peer.
final class HTTPEndpoint: Sendable {
    /// A reply.
    struct Answer: Sendable {
        var status: UInt32
        var contentType: String
        var body: ByteBuffer

        init(status: UInt32, contentType: String = "text/plain; charset=utf-8", body: ByteBuffer) {
            self.status = status
            self.contentType = contentType
            self.body = body
        }

        init(status: UInt32, _ text: String) {
            var body = ByteBuffer()
            body.append(utf8: text + "\n")
            self.init(status: status, body: body)
        }
    }

    /// `127.0.0.1:9350`.
    let name: String
    private let responder: Responder
    // Only passed on to the library, whose calls on a daemon may come from any thread.
    private nonisolated(unsafe) let daemon: OpaquePointer

    private static let (connections, connectionsOfPeer): (UInt32, UInt32) = (64, 16)
    private static let timeoutSeconds: UInt32 = 5
    private static let memoryPerConnection = 16 << 10

    /// Serves on `host` and `port`; port 0 picks a free one.
    ///
    /// - Parameter answer: the reply to a path without its query; nil where there is nothing.
    init(
        host: String, port: UInt16, answer: @escaping @Sendable (_ path: String) -> Answer?
    ) throws(ServerError) {
        let listener = try Listener.tcp(host: host, port: port, flag: "--metrics-port")
        name = listener.name
        responder = Responder(answer)
        // The daemon closes what it listens on.
        let descriptor = withExtendedLifetime(listener) { fcntl(listener.descriptor, F_DUPFD_CLOEXEC, 0) }
        guard descriptor >= 0 else { throw ServerError("Cannot serve metrics on \(name): \(errorText()).") }
        guard
            let daemon = exemplar_http_start(
                descriptor, answerRequest, Unmanaged.passUnretained(responder).toOpaque(), Self.connections,
                Self.connectionsOfPeer, Self.timeoutSeconds, Self.memoryPerConnection)
        else {
            let code = errno
            close(descriptor)
            throw ServerError("Cannot serve metrics on \(name): \(errorText(code)).")
        }
        self.daemon = daemon
    }

    /// Ends the thread, after the reply that it is at.
    deinit { MHD_stop_daemon(daemon) }

    fileprivate final class Responder: Sendable {
        let answer: @Sendable (String) -> Answer?
        init(_ answer: @escaping @Sendable (String) -> Answer?) { self.answer = answer }
    }
}

/// Called by the library with a request's head, then with its body, and then to reply.
private func answerRequest(
    _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ path: UnsafePointer<CChar>?,
    _ methodName: UnsafePointer<CChar>?, _ version: UnsafePointer<CChar>?, _ body: UnsafePointer<CChar>?,
    _ bodyCount: UnsafeMutablePointer<Int>?, _ state: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
    guard let context, let connection, let path, let methodName, let state, let bodyCount else { return .NO }
    guard strcmp(methodName, "GET") == 0 || strcmp(methodName, "HEAD") == 0 else {
        // At once: the body need not be read, and the connection is closed.
        return queue(HTTPEndpoint.Answer(status: 405, "Only GET is served here."), allow: "GET, HEAD", connection)
    }
    // A reply to the head alone would close the connection, which a scraper likes to keep.
    if state.pointee == nil {
        state.pointee = context
        return .YES
    }
    if bodyCount.pointee > 0 {
        bodyCount.pointee = 0
        return .YES
    }
    let responder = Unmanaged<HTTPEndpoint.Responder>.fromOpaque(context).takeUnretainedValue()
    // A longer path is none of those here, and strings may take long to compare.
    let known = strnlen(path, 64) < 64 ? responder.answer(String(cString: path)) : nil
    let answer =
        known
        ?? HTTPEndpoint.Answer(status: 404, "There is nothing here; see /metrics, /healthz and /readyz.")
    return queue(answer, allow: nil, connection)
}

private func queue(_ answer: HTTPEndpoint.Answer, allow: String?, _ connection: OpaquePointer) -> MHD_Result {
    let response = answer.body.withUnsafeBytes { exemplar_http_response($0.baseAddress, $0.count) }
    guard let response else { return .NO }
    defer { MHD_destroy_response(response) }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.contentType)
    if let allow { MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow) }
    return MHD_queue_response(connection, answer.status, response)
}
