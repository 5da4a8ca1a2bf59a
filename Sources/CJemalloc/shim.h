// jemalloc's header, and the macros that Swift cannot import, as functions of the same meaning.
#pragma once
#include <jemalloc/jemalloc.h>

static inline int exemplar_mallocx_flags(unsigned arena, size_t alignment, int zero) {
    return MALLOCX_ARENA(arena) | MALLOCX_ALIGN(alignment) | MALLOCX_TCACHE_NONE | (zero ? MALLOCX_ZERO : 0);
}

static inline int exemplar_dallocx_flags(unsigned arena) {
    return MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
}
