/*
 * base: what every module stands on. Slices, errors, arenas, growable buffers, vectors, maps,
 * intrusive lists, slot pools, numbers and encodings, files, time, randomness and the log.
 * libc only. Nothing here waits, and nothing here keeps state of its own but the log level.
 *
 * Memory: allocation never returns NULL; when the system has none left the process aborts (it is
 * supervised, and its state is in the store). Data planes bound what they allocate by pools.
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* ---- language ---------------------------------------------------------------------------- */

#define NODISCARD         __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define CLEANUP(fn)       __attribute__((cleanup(fn)))
#define UNUSED            __attribute__((unused))
#define NORETURN          __attribute__((noreturn))

#define ARRAY_LEN(a)      (sizeof(a) / sizeof((a)[0]))
#define STATIC_ASSERT     _Static_assert

/* Asserts stay on in release builds. They check ourselves, never input. */
#define ASSERT(cond)  ((cond) ? (void)0 : assert_failed(#cond, __FILE__, __LINE__))
#define UNREACHABLE() assert_failed("unreachable", __FILE__, __LINE__)
NORETURN void assert_failed(const char *condition, const char *file, int line);

/* The struct that holds `member` at address `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- memory ------------------------------------------------------------------------------ */

void *mem_alloc(size_t size);              /* zeroed; abort when there is none */
void *mem_realloc(void *old, size_t size); /* the grown part is not zeroed */
char *mem_strdup(const char *text);        /* NULL gives NULL */
void mem_free(void *ptr);                  /* NULL is fine */
void mem_free_ptr(void *ptr_to_ptr);       /* for CLEANUP: frees *(void **)ptr_to_ptr */
PRINTF_LIKE(1, 2) char *mem_printf(const char *format, ...);

/* ---- slices: a view of bytes that somebody else owns --------------------------------------- */

typedef struct Slice {
    const char *data;
    size_t len;
} Slice;

#define SLICE(literal) ((Slice){(literal), sizeof(literal) - 1})
#define SLICE_FMT(s)   (int)(s).len, (s).data /* for "%.*s" */

Slice slice_of(const char *text); /* NULL gives the empty slice */
Slice slice_from(const void *data, size_t len);
bool slice_eq(Slice a, Slice b);
/* Inline, so that the length of a literal is known: most comparisons end there. */
static inline bool slice_is(Slice a, const char *text)
{
    size_t len = text != NULL ? __builtin_strlen(text) : 0;
    return a.len == len && (len == 0 || __builtin_memcmp(a.data, text, len) == 0);
}
static inline char char_lower(char c) /* ASCII */
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}
static inline char char_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}
bool slice_is_nocase(Slice a, const char *text); /* ASCII */
int slice_cmp(Slice a, Slice b);                 /* as memcmp; a prefix comes first */
bool slice_starts(Slice a, const char *prefix);
bool slice_ends(Slice a, const char *suffix);
bool slice_has(Slice a, const char *part);
bool slice_has_any(Slice a, const char *const *parts); /* NULL-terminated */
Slice slice_trim(Slice a);                             /* without ASCII white space at both ends */
Slice slice_skip(Slice a, size_t count);               /* count <= a.len */
/* Cuts `*rest` at the first `separator`: returns what stood before it, leaves what stands behind.
 * Without a separator it returns everything and leaves the empty slice with data == NULL. */
Slice slice_cut(Slice *rest, char separator);

/* ---- errors ------------------------------------------------------------------------------ */

/* What went wrong, by who can do something about it. The order is not stored anywhere. */
typedef enum ErrCode {
    ERR_NONE = 0,
    ERR_INTERNAL,    /* our fault, or nobody's */
    ERR_INVALID,     /* the input is wrong; the message says what to write instead */
    ERR_UNSUPPORTED, /* understood, and refused by name */
    ERR_NOT_FOUND,
    ERR_EXISTS,
    ERR_CONFLICT, /* the present state forbids it */
    ERR_DENIED,
    ERR_TIMEOUT,
    ERR_UNAVAILABLE, /* a peer is not there (yet); trying again later is right */
    ERR_LIMIT,       /* a named limit was reached */
    ERR_IO,          /* the operating system refused; os_errno says why */
    ERR_UNSETTLED,   /* a change was asked for, and whether it took place is unknown */
} ErrCode;

/* A caller-owned value. A failing call fills it and leaves its ret_ arguments alone. */
typedef struct Err {
    ErrCode code;
    int os_errno;
    char message[1024]; /* one sentence, no newline, cut when longer */
} Err;

/* All of these accept err == NULL and return false, so that a caller can `return err_set(…)`. */
PRINTF_LIKE(3, 4) bool err_set(Err *err, ErrCode code, const char *format, ...);
/* "…: strerror(os_errno)"; the code follows from os_errno. */
PRINTF_LIKE(3, 4) bool err_set_errno(Err *err, int os_errno, const char *format, ...);
/* Puts context in front: "format: message so far". */
PRINTF_LIKE(2, 3) bool err_wrap(Err *err, const char *format, ...);
const char *err_code_name(ErrCode code);
/* 0 ok, 1 error, 2 usage or bad input, 3 not found, 4 denied, 5 conflict, 6 timeout. */
int err_exit_code(ErrCode code);

/* Passes a failure on. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        if (!(call)) {                                                                             \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

/* ---- arenas: everything of one request, freed at once ------------------------------------- */

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena);                /* NULL is fine */
void arena_free_ptr(Arena **arena);           /* for CLEANUP */
void arena_reset(Arena *arena);               /* keeps one block for reuse */
void *arena_alloc(Arena *arena, size_t size); /* zeroed, aligned for any type */
char *arena_strdup(Arena *arena, const char *text);
char *arena_strndup(Arena *arena, const char *data, size_t len); /* adds a NUL */
char *arena_slice_str(Arena *arena, Slice slice);                /* adds a NUL */
PRINTF_LIKE(2, 3) char *arena_printf(Arena *arena, const char *format, ...);

#define ARENA_NEW(arena, type)          ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc((arena), sizeof(type) * (count)))

/* ---- buffers: growable bytes with a maximum ------------------------------------------------ */

/* Appending past `max` sets `overflowed` and appends nothing more: build first, check once. */
typedef struct Buf {
    char *data; /* NUL-terminated behind len whenever data != NULL */
    size_t len;
    size_t cap;
    size_t max;
    bool overflowed;
} Buf;

#define BUF_MAX_DEFAULT ((size_t)16 << 20)

void buf_init(Buf *buf, size_t max);
void buf_done(Buf *buf);
void buf_clear(Buf *buf); /* empties it, keeps the memory */
void buf_append(Buf *buf, const void *data, size_t len);
void buf_append_slice(Buf *buf, Slice slice);
void buf_append_str(Buf *buf, const char *text);
void buf_append_char(Buf *buf, char c);
PRINTF_LIKE(2, 3) void buf_printf(Buf *buf, const char *format, ...);
/* Room for `len` more bytes; the caller writes them and then calls buf_commit. NULL on overflow. */
char *buf_reserve(Buf *buf, size_t len);
void buf_commit(Buf *buf, size_t len);
void buf_consume(Buf *buf, size_t len);  /* drops bytes from the front */
void buf_truncate(Buf *buf, size_t len); /* keeps the first `len` bytes */
Slice buf_slice(const Buf *buf);
const char *buf_str(const Buf *buf); /* "" when empty */

/* ---- vectors ------------------------------------------------------------------------------- */

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t len;                                                                                \
        size_t cap;                                                                                \
    }
#define vec_push(vec, item)                                                                        \
    ((vec)->items = vec_grow((vec)->items, &(vec)->cap, (vec)->len + 1, sizeof(*(vec)->items)),    \
     (vec)->items[(vec)->len++] = (item))
#define vec_done(vec) (mem_free((vec)->items), (vec)->items = NULL, (vec)->len = (vec)->cap = 0)
void *vec_grow(void *items, size_t *cap, size_t need, size_t item_size);
/* The same with the items in an arena: outgrown copies stay there, and there is no vec_done. */
#define arena_vec_push(arena, vec, item)                                                           \
    ((vec)->items = arena_vec_grow((arena), (vec)->items, &(vec)->cap, (vec)->len + 1,             \
                                   sizeof(*(vec)->items)),                                         \
     (vec)->items[(vec)->len++] = (item))
void *arena_vec_grow(Arena *arena, void *items, size_t *cap, size_t need, size_t item_size);

/* ---- maps from strings; keyed hashing, so that clients cannot choose collisions ------------- */

typedef struct Map Map;

Map *map_new(void);
void map_free(Map *map); /* the values are the caller's; NULL is fine */
size_t map_len(const Map *map);
void *map_get(const Map *map, Slice key);        /* NULL when absent */
void *map_set(Map *map, Slice key, void *value); /* copies the key; returns the old value */
void *map_remove(Map *map, Slice key);           /* returns the old value */
/* Walks in no order: start with *cursor = 0, ends with false. No changes meanwhile. */
bool map_next(const Map *map, size_t *cursor, Slice *ret_key, void **ret_value);

/* ---- intrusive doubly linked lists --------------------------------------------------------- */

typedef struct ListNode {
    struct ListNode *prev, *next; /* both NULL when not in a list */
} ListNode;

typedef struct List {
    ListNode head; /* circular */
    size_t len;
} List;

void list_init(List *list);
void list_push_back(List *list, ListNode *node);
void list_push_front(List *list, ListNode *node);
/* `before` is in the list, or its head. */
void list_insert_after(List *list, ListNode *before, ListNode *node);
void list_remove(List *list, ListNode *node);
ListNode *list_first(const List *list); /* NULL when empty */
ListNode *list_next(const List *list, const ListNode *node);
ListNode *list_pop_front(List *list);
#define LIST_FOR_EACH(list, node)                                                                  \
    for (ListNode *node = list_first(list); node != NULL; node = list_next((list), node))

/* ---- slot pools: fixed-size objects, reused, with generations ------------------------------- */

/* A handle names one use of a slot. After pool_release it resolves to NULL, also when the slot
 * serves somebody else by then: a late event cannot reach the wrong object. 0 is never a handle. */
typedef uint64_t PoolHandle;
typedef struct Pool Pool;

Pool *pool_new(size_t object_size, size_t objects_max);
void pool_free(Pool *pool);
void *pool_acquire(Pool *pool, PoolHandle *ret_handle); /* zeroed; NULL when all are in use */
void *pool_get(const Pool *pool, PoolHandle handle);    /* NULL when stale */
void pool_release(Pool *pool, PoolHandle handle);       /* must not be stale */
size_t pool_in_use(const Pool *pool);

/* ---- numbers and encodings ------------------------------------------------------------------ */

/* The whole slice must be the number; no white space, no sign for the unsigned one. */
NODISCARD bool str_to_u64(Slice text, uint64_t *ret_value);
NODISCARD bool str_to_i64(Slice text, int64_t *ret_value);
void hex_encode(const void *data, size_t len, char *out); /* 2 * len + 1 bytes, lower case */
NODISCARD bool hex_decode(Slice text, void *out, size_t out_size, size_t *ret_len);
size_t base64_encoded_len(size_t len);                       /* without the NUL */
void base64_encode(const void *data, size_t len, char *out); /* RFC 4648, padded; adds a NUL */
/* Only what base64_encode writes: padded, no white space, unused bits zero. */
NODISCARD bool base64_decode(Slice text, void *out, size_t out_size, size_t *ret_len);

/* The length of the well-formed UTF-8 character that `text` starts with (RFC 3629); 0: none. */
size_t utf8_len(Slice text);

/* ---- files ------------------------------------------------------------------------------- */

void fd_close(int *fd); /* for CLEANUP; -1 is fine; sets it to -1 */
NODISCARD bool fd_write_all(int fd, const void *data, size_t len, Err *err);
/* Appends the whole file to `buf`; ERR_LIMIT where it does not fit below buf->max. */
NODISCARD bool file_read(const char *path, Buf *buf, Err *err);
/* The same of an open descriptor, from where it stands; `path` is what errors call it. */
NODISCARD bool fd_read_all(int fd, const char *path, Buf *buf, Err *err);
/* Replaces the file so that after a crash there is the old or the new text, never a mixture: a
 * temporary file beside it, fsync, rename, fsync of the folder. */
NODISCARD bool file_write(const char *path, Slice text, mode_t mode, Err *err);
/* The same, owned by this account from the moment that it stands there; -1 leaves either as it is.
 */
NODISCARD bool file_write_as(const char *path, Slice text, mode_t mode, uid_t uid, gid_t gid,
                             Err *err);
/* Gives a file or folder another name, for good: fsync of the folder that it comes to. */
NODISCARD bool file_rename(const char *from, const char *to, Err *err);
/* Keeps a log from growing for ever: above LOG_BYTES_MAX its text moves to "PATH.1". Whoever writes
 * it appends, and goes on; what is written in the very moment may be lost. */
#define LOG_BYTES_MAX ((int64_t)64 << 20)
NODISCARD bool file_bound(const char *path, int64_t bytes_max, Err *err);
/* Who has a lock of the file for writing (fcntl(2), F_SETLK). *ret_pid is 0 where nobody has, and
 * where there is no such file. */
NODISCARD bool file_lock_holder(const char *path, pid_t *ret_pid, Err *err);
/* The same of one byte of it. */
NODISCARD bool file_byte_holder(const char *path, int64_t byte, pid_t *ret_pid, Err *err);
/* Removes the temporary files that writes of this path left which were killed. Nobody may be
 * writing it meanwhile. */
void file_write_sweep(const char *path);
bool file_exists(const char *path);
/* Where our own program was started from, also when another one has taken its place there since:
 * the caller's. NULL: the kernel does not say (proc(5), /proc/PID/exe). */
char *file_own_program(void);
/* Makes the folder and its parents; one that is there already is fine. The mode is for new ones. */
NODISCARD bool dir_make(const char *path, mode_t mode, Err *err);
/* Removes a file or a whole tree, without following symbolic links. Absent is fine. */
NODISCARD bool tree_remove(const char *path, Err *err);
/* Gives a whole tree to an account, without following symbolic links. */
NODISCARD bool tree_chown(const char *path, uid_t uid, gid_t gid, Err *err);

/* ---- time -------------------------------------------------------------------------------- */

#define MS_PER_S  ((int64_t)1000)
#define US_PER_MS ((int64_t)1000)
#define US_PER_S  ((int64_t)1000000)

int64_t time_mono_ms(void);       /* CLOCK_MONOTONIC: intervals of ordinary work */
int64_t time_mono_us(void);       /* the same clock */
extern const char weir_version[]; /* of this program; in one place, so that it is one */
int64_t time_boot_ms(void);       /* CLOCK_BOOTTIME: deadlines that a suspend must not stretch */
int64_t time_boot_us(void);       /* the same clock */
int64_t time_wall_ms(void);       /* since 1970, UTC */
#define TIME_ISO_SIZE 32
void time_format_iso(int64_t wall_ms,
                     char out[static TIME_ISO_SIZE]); /* 2026-01-31T12:00:00.000Z */
/* Also with 0 to 9 digits of a second's fraction (cut to ms), and +01:00 in place of Z. */
NODISCARD bool time_parse_iso(Slice text, int64_t *ret_wall_ms);

/* ---- randomness ---------------------------------------------------------------------------- */

void random_bytes(void *out, size_t len); /* getrandom(2) */
/* `len` characters of [a-z0-9] and a NUL; the first is a letter. About 5.1 bits each. */
void random_id(char *out, size_t len);

/* ---- log --------------------------------------------------------------------------------- */

typedef enum LogLevel { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } LogLevel;

/* One line to stderr: "2026-01-31T12:00:00.000Z info agent: text". Control characters in the text
 * become spaces. Only shells (processes, agents, listeners) log; codecs and decisions return. */
PRINTF_LIKE(3, 4) void log_write(LogLevel level, const char *module, const char *format, ...);
void log_set_level(LogLevel level); /* the one mutable global */
bool log_enabled(LogLevel level);

#define log_debug(module, ...)                                                                     \
    (log_enabled(LOG_DEBUG) ? log_write(LOG_DEBUG, module, __VA_ARGS__) : (void)0)
#define log_info(module, ...)  log_write(LOG_INFO, module, __VA_ARGS__)
#define log_warn(module, ...)  log_write(LOG_WARN, module, __VA_ARGS__)
#define log_error(module, ...) log_write(LOG_ERROR, module, __VA_ARGS__)

#endif
