/*
 * Reading one JSON object, member by member: each reader_ call takes one, and what was not taken at
 * reader_end is unknown, and refused by name. The first error wins; after it everything that is
 * taken is harmless.
 */
#ifndef WEIR_PROXY_READER_PRIV_H
#define WEIR_PROXY_READER_PRIV_H

#include <jansson.h>

#include "base/base.h"
#include "crypto/crypto.h"

#define READER_MEMBERS_MAX 32 /* of one object */

typedef struct Reader Reader;

struct Reader {
    const json_t *object;
    const char *path;                      /* for messages: "pool.target" */
    const char *known[READER_MEMBERS_MAX]; /* the members that were asked for */
    size_t known_count;
    bool failed;
    Err *err;
};

Reader reader_of(const json_t *object, const char *path, Err *err);
PRINTF_LIKE(2, 3) void reader_fail(Reader *reader, const char *format, ...);
json_t *reader_take(Reader *reader, const char *name); /* borrowed; NULL: it is not there */
/* The caller's; NULL where it is absent or null, which a required one must not be. */
char *reader_text(Reader *reader, const char *name, bool required);
void reader_secret(Reader *reader, const char *name, bool required, Secret *secret);
int64_t reader_int(Reader *reader, const char *name, int64_t fallback, int64_t min, int64_t max);
bool reader_bool(Reader *reader, const char *name);
json_t *reader_list(Reader *reader, const char *name, size_t min, size_t max);
void reader_end(Reader *reader);
/* What went wrong inside went wrong outside. */
void reader_pass_on(Reader *outer, const Reader *inner);

#endif
