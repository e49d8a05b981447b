/* JSON objects read member by member, for the configuration. Pure. */
#include <stdio.h>

#include "proxy/config/reader_priv.h"

void reader_fail(Reader *reader, const char *format, ...)
{
    if (!reader->failed) {
        va_list args;
        char text[512];
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        err_set(reader->err, ERR_INVALID, "proxy configuration: %s", text);
    }
    reader->failed = true;
}

Reader reader_of(const json_t *object, const char *path, Err *err)
{
    Reader reader = {.object = object, .path = path, .err = err};
    if (!json_is_object(object)) {
        reader_fail(&reader, "%s must be an object", path);
    }
    return reader;
}

json_t *reader_take(Reader *reader, const char *name)
{
    ASSERT(reader->known_count < READER_MEMBERS_MAX);
    reader->known[reader->known_count++] = name;
    return json_object_get(reader->object, name);
}

char *reader_text(Reader *reader, const char *name, bool required)
{
    json_t *value = reader_take(reader, name);
    if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value)) {
        return mem_strdup(json_string_value(value));
    }
    if ((value != NULL && !json_is_null(value)) || required) {
        reader_fail(reader, "%s.%s must be a text", reader->path, name);
    }
    return NULL;
}

void reader_secret(Reader *reader, const char *name, bool required, Secret *secret)
{
    json_t *value = reader_take(reader, name);
    if (json_is_string(value)) {
        secret_set(secret, slice_from(json_string_value(value), json_string_length(value)));
    } else if (required || (value != NULL && !json_is_null(value))) {
        reader_fail(reader, "%s.%s must be a text", reader->path, name);
    }
}

int64_t reader_int(Reader *reader, const char *name, int64_t fallback, int64_t min, int64_t max)
{
    json_t *value = reader_take(reader, name);
    if (value == NULL) {
        return fallback;
    }
    int64_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < min || number > max) {
        reader_fail(reader, "%s.%s must be a number from %lld to %lld", reader->path, name,
                    (long long)min, (long long)max);
        return min;
    }
    return number;
}

bool reader_bool(Reader *reader, const char *name)
{
    json_t *value = reader_take(reader, name);
    if (value != NULL && !json_is_boolean(value)) {
        reader_fail(reader, "%s.%s must be true or false", reader->path, name);
    }
    return json_is_true(value);
}

json_t *reader_list(Reader *reader, const char *name, size_t min, size_t max)
{
    json_t *value = reader_take(reader, name);
    if (value != NULL && !json_is_array(value)) {
        reader_fail(reader, "%s.%s must be a list", reader->path, name);
    } else if (json_array_size(value) < min || json_array_size(value) > max) {
        reader_fail(reader, "%s.%s must have %zu to %zu items", reader->path, name, min, max);
    }
    return reader->failed ? NULL : value;
}

static bool reader_knows(const Reader *reader, const char *name)
{
    for (size_t i = 0; i < reader->known_count; i++) {
        if (strcmp(reader->known[i], name) == 0) {
            return true;
        }
    }
    return false;
}

void reader_end(Reader *reader)
{
    json_t *object = (json_t *)(uintptr_t)reader->object;
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        if (!reader_knows(reader, json_object_iter_key(at))) {
            reader_fail(reader, "%s.%s is not known here", reader->path, json_object_iter_key(at));
        }
    }
}

void reader_pass_on(Reader *outer, const Reader *inner)
{
    outer->failed = outer->failed || inner->failed;
}
