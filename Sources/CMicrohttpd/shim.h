// GNU libmicrohttpd: HTTP/1.1 for the metrics, on a thread of its own.
#pragma once
#include <microhttpd.h>

// Serves HTTP on `listener`, a bound and listening socket that belongs to the daemon from then on. Null on failure,
// with the socket still the caller's. MHD_start_daemon takes its options as variable arguments, which Swift does not
// call.
static inline struct MHD_Daemon *exemplar_http_start(
    int listener, MHD_AccessHandlerCallback answer, void *context, unsigned connections, unsigned connections_per_peer,
    unsigned timeout_seconds, size_t memory_per_connection) {
    return MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ITC, 0, 0, 0, answer, context,
        MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, connections_per_peer, MHD_OPTION_CONNECTION_TIMEOUT, timeout_seconds,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory_per_connection, MHD_OPTION_END);
}

// A response with a copy of `count` bytes.
static inline struct MHD_Response *exemplar_http_response(const void *bytes, size_t count) {
    return MHD_create_response_from_buffer(count, (void *)bytes, MHD_RESPMEM_MUST_COPY);
}
