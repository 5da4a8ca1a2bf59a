// What Swift's Glibc module leaves out: CPU features, prefetch, and Linux's epoll, eventfd, signalfd and accept4.
#pragma once
#include <stdint.h>
#include <errno.h>
#ifdef __linux__
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#endif

#if defined(__x86_64__)
static inline int exemplar_cpu_has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")
        && __builtin_cpu_supports("bmi2");
}
static inline int exemplar_cpu_has_avx512(void) {
    return exemplar_cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512cd");
}
#else
static inline int exemplar_cpu_has_avx2(void) { return 0; }
static inline int exemplar_cpu_has_avx512(void) { return 0; }
#endif

// Brings the cache line at `address` towards L1; a hint, valid for any address.
static inline void exemplar_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

#ifdef __linux__
// epoll_event is packed on x86-64; going through functions keeps its layout out of Swift.
static inline int exemplar_accept4(int listener) {
    return accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

// How many CPUs the calling thread may run on, or 0 if the kernel does not say.
static inline int exemplar_affinity_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}
#endif
