// Makes system calls of a server fail, and makes it leak, when it is preloaded (ld.so(8), LD_PRELOAD).
//
// FAULTS names a folder. While it has a file with the name of a function, such as `recv`, calls of that function fail
// as the file says: "ERRNO EVERY", each EVERY-th call with that errno, and for mmap a third number, the least length.
// Each failure appends the function's name to the file `injected`.
//
// LEAK is how many bytes are allocated and forgotten for each line that recv() brings.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Through syscall(2): the functions below must not be called for this.
static int open_in_folder(const char *name, int flags) {
    const char *folder = getenv("FAULTS");
    char path[4096];
    if (!folder || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

// Whether this call of `name` is to fail, with errno set.
static int fails(const char *name, size_t length, atomic_uint *calls) {
    int before = errno;
    int file = open_in_folder(name, O_RDONLY);
    if (file < 0) {
        errno = before;
        return 0;
    }
    char text[64] = {0};
    long count = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    int code = 0;
    unsigned every = 0;
    size_t least = 0;
    errno = before;
    if (count <= 0 || sscanf(text, "%d %u %zu", &code, &every, &least) < 2 || every == 0 || length < least) return 0;
    if (atomic_fetch_add(calls, 1) % every != every - 1) return 0;
    int log = open_in_folder("injected", O_WRONLY | O_CREAT | O_APPEND);
    if (log >= 0) {
        dprintf(log, "%s\n", name);
        syscall(SYS_close, log);
    }
    errno = code;
    return 1;
}

// The function that the caller meant.
#define NEXT(type, name, ...)                                                                                          \
    static type (*next)(__VA_ARGS__);                                                                                  \
    if (!next) next = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name);                                                  \
    static atomic_uint calls;

int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags) {
    NEXT(int, accept4, int, struct sockaddr *, socklen_t *, int)
    return fails("accept4", 0, &calls) ? -1 : next(listener, address, length, flags);
}

int epoll_ctl(int poller, int operation, int file, struct epoll_event *event) {
    NEXT(int, epoll_ctl, int, int, int, struct epoll_event *)
    return operation == EPOLL_CTL_ADD && fails("epoll_ctl", 0, &calls) ? -1 : next(poller, operation, file, event);
}

int epoll_wait(int poller, struct epoll_event *events, int capacity, int timeout) {
    NEXT(int, epoll_wait, int, struct epoll_event *, int, int)
    return fails("epoll_wait", 0, &calls) ? -1 : next(poller, events, capacity, timeout);
}

ssize_t recv(int socket, void *buffer, size_t length, int flags) {
    NEXT(ssize_t, recv, int, void *, size_t, int)
    if (fails("recv", 0, &calls)) return -1;
    ssize_t count = next(socket, buffer, length, flags);
    const char *size = getenv("LEAK");
    for (ssize_t index = 0; size && index < count; index++) {
        if (((char *)buffer)[index] != '\n') continue;
        // Through a volatile pointer, or the compiler would leave the allocation out.
        void *volatile lost = malloc((size_t)atoi(size));
        (void)lost;
    }
    return count;
}

ssize_t send(int socket, const void *buffer, size_t length, int flags) {
    NEXT(ssize_t, send, int, const void *, size_t, int)
    return fails("send", 0, &calls) ? -1 : next(socket, buffer, length, flags);
}

ssize_t read(int file, void *buffer, size_t length) {
    NEXT(ssize_t, read, int, void *, size_t)
    static atomic_uint of_files;
    struct stat status;
    int is_file = syscall(SYS_fstat, file, &status) == 0 && S_ISREG(status.st_mode);
    if (is_file ? fails("read-file", 0, &of_files) : fails("read", 0, &calls)) return -1;
    return next(file, buffer, length);
}

static ssize_t read_at_or_fail(int file, void *buffer, size_t length, off_t offset) {
    static atomic_uint calls;
    return fails("pread", 0, &calls) ? -1 : syscall(SYS_pread64, file, buffer, length, offset);
}

ssize_t pread(int file, void *buffer, size_t length, off_t offset) {
    return read_at_or_fail(file, buffer, length, offset);
}

ssize_t pread64(int file, void *buffer, size_t length, off_t offset) {
    return read_at_or_fail(file, buffer, length, offset);
}

ssize_t write(int file, const void *buffer, size_t length) {
    NEXT(ssize_t, write, int, const void *, size_t)
    return fails("write", 0, &calls) ? -1 : next(file, buffer, length);
}

static int open_or_fail(const char *path, int flags, mode_t mode) {
    static atomic_uint calls;
    return fails("open", 0, &calls) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                        \
        va_end(rest);                                                                                                  \
        return open_or_fail(path, flags, mode);                                                                        \
    }
OPEN(open)
OPEN(open64)

static void *map_or_fail(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    static atomic_uint calls;
    if (file < 0 && fails("mmap-memory", length, &calls)) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    return map_or_fail(address, length, protection, flags, file, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    return map_or_fail(address, length, protection, flags, file, offset);
}

// Where mmap fails, jemalloc turns to the heap's end.
void *sbrk(intptr_t increment) {
    NEXT(void *, sbrk, intptr_t)
    int failed = increment > 0 && fails("mmap-memory", (size_t)increment, &calls);
    return failed ? (void *)-1 : next(increment);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context) {
    NEXT(int, pthread_create, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)
    return fails("pthread_create", 0, &calls) ? errno : next(thread, attributes, run, context);
}
