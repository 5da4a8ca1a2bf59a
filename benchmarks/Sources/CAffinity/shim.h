// Binding a thread to a core: cpu_set_t is handled by macros, which Swift does not see.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>

// Binds the calling thread to one core; 0 if the kernel agrees.
static inline int bench_bind_to_core(int core) {
    if (core < 0 || core >= CPU_SETSIZE) return -1;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return sched_setaffinity(0, sizeof set, &set);
}
