// What Swift's Glibc module leaves out: CPU features, prefetch, and Linux's epoll, eventfd, signalfd and accept4.
#pragma once
#include <stdint.h>
#ifdef __linux__
#include <errno.h>
#include <execinfo.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
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

// Tells the processor that a loop waits for another thread.
static inline void exemplar_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#ifdef __linux__
// Asks for a short turn of the processor, so that the calling thread, which needs little of it, gets it as soon as it
// wakes, before those that compute (Linux 6.12: sched_runtime of a normal thread is its slice). Its nice value stays,
// and threads that it starts have the usual slice. Earlier kernels take no notice, and no failure matters.
static inline void exemplar_request_slice(uint64_t nanoseconds) {
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {
        .size = 48,
        .flags = 1,  // SCHED_FLAG_RESET_ON_FORK
        .nice = getpriority(PRIO_PROCESS, 0),
        .runtime = nanoseconds,
    };
    syscall(SYS_sched_setattr, 0, &attributes, 0);
}

// epoll_event is packed on x86-64; going through functions keeps its layout out of Swift.
static inline int exemplar_accept4(int listener) {
    return accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static inline int exemplar_epoll_control(int poller, int operation, int file, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    return epoll_ctl(poller, operation, file, &event);
}

// Fills `events` and `tokens`, `capacity` of each, and returns how many, or -1 with errno. A negative timeout is for
// ever. Before Linux 5.11, and in sandboxes that do not know its call, times are rounded up to milliseconds.
static inline int exemplar_epoll_wait(
    int poller, uint32_t *events, uint64_t *tokens, int capacity, int64_t timeout_nanoseconds) {
    struct epoll_event ready[64];
    if (capacity > 64) capacity = 64;
    int count;
    if (timeout_nanoseconds <= 0) {
        count = epoll_wait(poller, ready, capacity, timeout_nanoseconds < 0 ? -1 : 0);
    } else {
        struct timespec timeout = {timeout_nanoseconds / 1000000000, timeout_nanoseconds % 1000000000};
        count = syscall(SYS_epoll_pwait2, poller, ready, capacity, &timeout, 0, 0);
        if (count < 0 && (errno == ENOSYS || errno == EPERM))
            count = epoll_wait(poller, ready, capacity, (timeout_nanoseconds + 999999) / 1000000);
    }
    for (int i = 0; i < count; i++) {
        events[i] = ready[i].events;
        tokens[i] = ready[i].data.u64;
    }
    return count;
}

// A descriptor that becomes readable when the process gets one of the signals, which are blocked in this thread and
// in every thread that it starts afterwards.
static inline int exemplar_signal_descriptor(const int *signals, int count) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < count; i++) sigaddset(&set, signals[i]);
    if (pthread_sigmask(SIG_BLOCK, &set, 0) != 0) return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

// The next signal of such a descriptor, or 0 where there is none.
static inline int exemplar_next_signal(int descriptor) {
    struct signalfd_siginfo info;
    return read(descriptor, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

// A client that is gone, and a log that has reached its largest size, are errors of the call that meets them.
static inline int exemplar_ignore_write_signals(void) {
    return signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGXFSZ, SIG_IGN) == SIG_ERR ? -1 : 0;
}

// Writes the stack of the thread that crashed to standard error, then lets the signal do what it does without a
// handler. Nothing in it but write(2) and backtrace(3), which was called once before, so that it need not load its
// library now.
static inline void exemplar_report_crash(int number) {
    void *frames[64];
    // What crashed may hold a lock that unwinding needs: then this ends the process.
    alarm(5);
    const char *name = number == SIGSEGV ? "SIGSEGV" : number == SIGILL ? "SIGILL" : number == SIGBUS ? "SIGBUS"
        : number == SIGTRAP ? "SIGTRAP" : number == SIGFPE ? "SIGFPE" : "SIGABRT";
    const char *parts[] = {"exemplar crashed with ", name, "; please report this stack:\n"};
    for (int i = 0; i < 3; i++)
        if (write(2, parts[i], strlen(parts[i])) < 0) break;
    backtrace_symbols_fd(frames, backtrace(frames, 64), 2);
    raise(number);
}

// Installs it where nobody else, such as Swift's own backtraces, has taken the signal.
static inline void exemplar_report_crashes(void) {
    const int numbers[] = {SIGSEGV, SIGILL, SIGBUS, SIGTRAP, SIGFPE, SIGABRT};
    void *frame;
    backtrace(&frame, 1);
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        if (sigaction(numbers[i], 0, &action) != 0 || action.sa_handler != SIG_DFL) continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = exemplar_report_crash;
        // Once: a crash of the handler ends the process.
        action.sa_flags = SA_RESETHAND | SA_NODEFER;
        sigaction(numbers[i], &action, 0);
    }
}

// Fills in the address of a Unix domain socket; -1 with ENAMETOOLONG in errno where its path is too long.
static inline int exemplar_unix_address(const char *path, struct sockaddr_un *address) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address->sun_path) { errno = ENAMETOOLONG; return -1; }
    memcpy(address->sun_path, path, length + 1);
    return 0;
}

// Both return -1 with errno.
static inline int exemplar_bind_unix(int socket, const char *path) {
    struct sockaddr_un address;
    if (exemplar_unix_address(path, &address) != 0) return -1;
    return bind(socket, (struct sockaddr *)&address, sizeof address);
}
static inline int exemplar_connect_unix(int socket, const char *path) {
    struct sockaddr_un address;
    if (exemplar_unix_address(path, &address) != 0) return -1;
    return connect(socket, (struct sockaddr *)&address, sizeof address);
}

// Bytes that were sent to a socket and that its peer has not taken; 0 where the system does not say.
static inline int exemplar_untaken_bytes(int socket) {
    int count = 0;
    return ioctl(socket, TIOCOUTQ, &count) == 0 ? count : 0;
}

// How many CPUs the calling thread may run on, or 0 if the kernel does not say. The macro CPU_COUNT is glibc's own, and
// hidden from Swift's importer; the set is a bit for each CPU.
static inline int exemplar_affinity_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    const unsigned char *bytes = (const unsigned char *)&set;
    int count = 0;
    for (unsigned i = 0; i < sizeof set; i++) count += __builtin_popcount(bytes[i]);
    return count;
}
#endif
