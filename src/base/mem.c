/*
 * Allocation that cannot fail, the assert hook, arenas, buffers and vectors: everything that owns
 * plain memory. Callers own what they get from mem_*; an arena or a buffer owns its blocks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"

void assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "weir: assertion failed: %s (%s:%d)\n", condition, file, line);
    abort();
}

static void *mem_checked(void *ptr)
{
    if (ptr == NULL) {
        static const char message[] = "weir: out of memory\n";
        ssize_t ignored = write(STDERR_FILENO, message, sizeof(message) - 1);
        (void)ignored;
        abort();
    }
    return ptr;
}

void *mem_alloc(size_t size)
{
    return mem_checked(calloc(1, size > 0 ? size : 1));
}

void *mem_realloc(void *old, size_t size)
{
    return mem_checked(realloc(old, size > 0 ? size : 1));
}

char *mem_strdup(const char *text)
{
    return text == NULL ? NULL : mem_checked(strdup(text));
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mem_free_ptr(void *ptr_to_ptr)
{
    void *ptr;
    memcpy(&ptr, ptr_to_ptr, sizeof(ptr));
    free(ptr);
}

char *mem_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int len = vasprintf(&text, format, args);
    va_end(args);
    return mem_checked(len < 0 ? NULL : text);
}

/* ---- arena ------------------------------------------------------------------------------- */

#define ARENA_BLOCK_SIZE ((size_t)4096)

typedef struct ArenaBlock {
    struct ArenaBlock *next;
    size_t size; /* of data */
    size_t used;
    _Alignas(max_align_t) char data[];
} ArenaBlock;

struct Arena {
    ArenaBlock *blocks; /* the first one is being filled */
};

static ArenaBlock *arena_block_new(size_t size)
{
    ArenaBlock *block = mem_checked(malloc(sizeof(ArenaBlock) + size));
    *block = (ArenaBlock){.size = size};
    return block;
}

Arena *arena_new(void)
{
    Arena *arena = mem_alloc(sizeof(Arena));
    arena->blocks = arena_block_new(ARENA_BLOCK_SIZE);
    return arena;
}

static void arena_free_blocks(ArenaBlock *block)
{
    while (block != NULL) {
        ArenaBlock *next = block->next;
        free(block);
        block = next;
    }
}

void arena_free(Arena *arena)
{
    if (arena != NULL) {
        arena_free_blocks(arena->blocks);
        free(arena);
    }
}

void arena_free_ptr(Arena **arena)
{
    arena_free(*arena);
    *arena = NULL;
}

void arena_reset(Arena *arena)
{
    arena_free_blocks(arena->blocks->next);
    arena->blocks->next = NULL;
    arena->blocks->used = 0;
}

void *arena_alloc(Arena *arena, size_t size)
{
    size_t need = (size + (_Alignof(max_align_t) - 1)) & ~(_Alignof(max_align_t) - 1);
    ASSERT(need >= size);
    ArenaBlock *block = arena->blocks;
    if (block->size - block->used < need) {
        size_t grown = block->size < ((size_t)1 << 20) ? block->size * 2 : block->size;
        block = arena_block_new(need > grown ? need : grown);
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *ptr = block->data + block->used;
    block->used += need;
    memset(ptr, 0, need);
    return ptr;
}

char *arena_strndup(Arena *arena, const char *data, size_t len)
{
    char *copy = arena_alloc(arena, len + 1);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

char *arena_strdup(Arena *arena, const char *text)
{
    return text == NULL ? NULL : arena_strndup(arena, text, strlen(text));
}

char *arena_slice_str(Arena *arena, Slice slice)
{
    return arena_strndup(arena, slice.data, slice.len);
}

char *arena_printf(Arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(len >= 0);
    char *text = arena_alloc(arena, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

/* ---- buffers --------------------------------------------------------------------------------- */

void buf_init(Buf *buf, size_t max)
{
    *buf = (Buf){.max = max};
}

void buf_done(Buf *buf)
{
    free(buf->data);
    *buf = (Buf){.max = buf->max};
}

void buf_clear(Buf *buf)
{
    buf->len = 0;
    buf->overflowed = false;
    if (buf->data != NULL) {
        buf->data[0] = '\0';
    }
}

char *buf_reserve(Buf *buf, size_t len)
{
    if (buf->overflowed || len > buf->max - buf->len) {
        buf->overflowed = true;
        return NULL;
    }
    size_t need = buf->len + len + 1;
    if (need > buf->cap) {
        size_t cap = buf->cap > 0 ? buf->cap : 64;
        while (cap < need) {
            cap *= 2;
        }
        buf->data = mem_realloc(buf->data, cap);
        buf->cap = cap;
        buf->data[buf->len] = '\0'; /* also where nothing is committed */
    }
    return buf->data + buf->len;
}

void buf_commit(Buf *buf, size_t len)
{
    ASSERT(len < buf->cap - buf->len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_append(Buf *buf, const void *data, size_t len)
{
    char *room = buf_reserve(buf, len);
    if (room != NULL) {
        if (len > 0) {
            memcpy(room, data, len);
        }
        buf_commit(buf, len);
    }
}

void buf_append_slice(Buf *buf, Slice slice)
{
    buf_append(buf, slice.data, slice.len);
}

void buf_append_str(Buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_append_char(Buf *buf, char c)
{
    buf_append(buf, &c, 1);
}

void buf_printf(Buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(len >= 0);
    char *room = buf_reserve(buf, (size_t)len);
    if (room != NULL) {
        vsnprintf(room, (size_t)len + 1, format, again);
        buf_commit(buf, (size_t)len);
    }
    va_end(again);
}

void buf_consume(Buf *buf, size_t len)
{
    ASSERT(len <= buf->len);
    if (len == 0) {
        return;
    }
    memmove(buf->data, buf->data + len, buf->len - len);
    buf->len -= len;
    buf->data[buf->len] = '\0';
}

void buf_truncate(Buf *buf, size_t len)
{
    ASSERT(len <= buf->len);
    buf->len = len;
    if (buf->data != NULL) {
        buf->data[len] = '\0';
    }
}

Slice buf_slice(const Buf *buf)
{
    return (Slice){buf->data, buf->len};
}

const char *buf_str(const Buf *buf)
{
    return buf->data == NULL ? "" : buf->data;
}

/* ---- vectors --------------------------------------------------------------------------------- */

/* Doubles *cap until it holds `need`; returns the bytes of that many items. */
static size_t vec_bytes(size_t *cap, size_t need, size_t item_size)
{
    size_t grown = *cap > 0 ? *cap * 2 : 8;
    while (grown < need) {
        grown *= 2;
    }
    size_t bytes;
    ASSERT(!__builtin_mul_overflow(grown, item_size, &bytes));
    *cap = grown;
    return bytes;
}

void *vec_grow(void *items, size_t *cap, size_t need, size_t item_size)
{
    if (need <= *cap) {
        return items;
    }
    return mem_realloc(items, vec_bytes(cap, need, item_size));
}

void *arena_vec_grow(Arena *arena, void *items, size_t *cap, size_t need, size_t item_size)
{
    if (need <= *cap) {
        return items;
    }
    size_t old_cap = *cap;
    void *grown = arena_alloc(arena, vec_bytes(cap, need, item_size));
    if (old_cap > 0) {
        memcpy(grown, items, old_cap * item_size);
    }
    return grown;
}
