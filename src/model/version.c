/* Engine versions: what is asked for, what is installed, and what the operator lets stand in. */
#include <stdio.h>

#include "model/model.h"

void engine_major(const char *version, char out[static MODEL_VERSION_SIZE])
{
    Slice rest = slice_of(version);
    Slice major = slice_cut(&rest, '.');
    snprintf(out, MODEL_VERSION_SIZE, "%.*s", SLICE_FMT(major));
}

/* "15" or "15.18" of "15.18"; a part ends where a dot or the version ends. */
static bool version_starts(const char *version, Slice requested)
{
    return strlen(version) >= requested.len &&
           memcmp(version, requested.data, requested.len) == 0 &&
           (version[requested.len] == '\0' || version[requested.len] == '.');
}

/* Installed versions are listed highest first; the first that fits is the newest. Whoever asks for
 * none in particular gets one that there is a table of parameters for. */
static const char *installed_find(const EngineVersions *versions, const char *engine,
                                  Slice requested)
{
    for (size_t i = 0; i < versions->len; i++) {
        const InstalledVersion *item = &versions->items[i];
        bool fits = requested.len > 0 ? version_starts(item->version, requested)
                                      : parameter_family_of(engine, item->version) != NULL;
        if (fits && strcmp(item->engine, engine) == 0) {
            return item->version;
        }
    }
    return NULL;
}

/* The major that the operator's map gives for this major; the empty slice where it gives none. */
static Slice map_find(const EngineVersions *versions, Slice major)
{
    Slice rest = slice_of(versions->map);
    while (rest.len > 0) {
        Slice to = slice_trim(slice_cut(&rest, ','));
        Slice from = slice_cut(&to, '=');
        if (slice_eq(slice_trim(from), major)) {
            return slice_trim(to);
        }
    }
    return slice_from("", 0);
}

bool engine_version_map_check(const char *text, Err *err)
{
    for (Slice rest = slice_of(text); rest.len > 0;) {
        Slice to = slice_cut(&rest, ',');
        Slice from = slice_trim(slice_cut(&to, '='));
        uint64_t number;
        if (!str_to_u64(from, &number) || !str_to_u64(slice_trim(to), &number)) {
            return err_set(err, ERR_INVALID,
                           "engine_version_map is a list such as 14=15,13=15 (major asked for = "
                           "major used), not %.100s",
                           text);
        }
    }
    return true;
}

/* How the operator may let another major stand in; only PostgreSQL's. */
static void offer_map(const EngineVersions *versions, const char *engine, const char *requested,
                      Buf *out)
{
    char asked[MODEL_VERSION_SIZE];
    char used[MODEL_VERSION_SIZE];
    uint64_t number;
    const char *installed = installed_find(versions, engine, slice_from("", 0));
    engine_major(requested, asked);
    if (installed == NULL || strcmp(engine, "postgres") != 0 ||
        !str_to_u64(slice_of(asked), &number)) {
        return;
    }
    engine_major(installed, used);
    if (strcmp(asked, used) != 0) {
        buf_printf(out,
                   ". Write one of those, or let %s stand in: `weir up --engine-version-map %s=%s`",
                   used, asked, used);
    }
}

static bool refuse_version(const EngineVersions *versions, const char *engine,
                           const char *requested, Err *err)
{
    Buf list;
    buf_init(&list, sizeof(err->message) / 2);
    for (size_t i = 0; i < versions->len; i++) {
        if (strcmp(versions->items[i].engine, engine) == 0) {
            buf_printf(&list, "%s%s", list.len > 0 ? ", " : "", versions->items[i].version);
        }
    }
    if (list.len == 0) {
        buf_append_str(&list, "none");
    }
    offer_map(versions, engine, requested, &list);
    err_set(err, ERR_INVALID, "Cannot find version %.40s for %.40s. Installed: %s", requested,
            engine, buf_str(&list));
    buf_done(&list);
    return false;
}

bool engine_version_resolve(const EngineVersions *versions, const char *engine,
                            const char *requested, char ret_version[MODEL_VERSION_SIZE],
                            bool *ret_mapped, Err *err)
{
    Slice asked = slice_of(requested);
    const char *found = installed_find(versions, engine, asked);
    bool mapped = false;
    if (found == NULL && strcmp(engine, "postgres") == 0) {
        Slice rest = asked;
        Slice to = map_find(versions, slice_cut(&rest, '.'));
        found = to.len > 0 ? installed_find(versions, engine, to) : NULL;
        mapped = found != NULL;
    }
    if (found == NULL) {
        return refuse_version(versions, engine, requested, err);
    }
    snprintf(ret_version, MODEL_VERSION_SIZE, "%s", found);
    *ret_mapped = mapped;
    return true;
}

/* "14" of "postgres14". */
static Slice family_major(const char *family, const char *engine)
{
    Slice text = slice_of(family);
    return slice_starts(text, engine) ? slice_skip(text, strlen(engine)) : slice_from("", 0);
}

static bool refuse_family(const char *family, Err *err)
{
    Buf list;
    buf_init(&list, sizeof(err->message) / 2);
    const ParameterFamily *known;
    for (size_t cursor = 0; parameter_family_next(&cursor, &known);) {
        buf_printf(&list, "%s%s", list.len > 0 ? ", " : "", known->name);
    }
    err_set(err, ERR_INVALID, "Invalid parameter group family: %.60s. Weir has: %s", family,
            buf_str(&list));
    buf_done(&list);
    return false;
}

const ParameterFamily *engine_family_resolve(const EngineVersions *versions, const char *family,
                                             Err *err)
{
    static const char *const engines[] = {"postgres", "redis"};
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        char version[MODEL_VERSION_SIZE];
        bool mapped;
        char major[MODEL_VERSION_SIZE];
        Slice asked = family_major(family, engines[i]);
        if (asked.len == 0 || asked.len >= sizeof(major)) {
            continue;
        }
        snprintf(major, sizeof(major), "%.*s", SLICE_FMT(asked));
        if (!engine_version_resolve(versions, engines[i], major, version, &mapped, err)) {
            return NULL;
        }
        const ParameterFamily *found = parameter_family_of(engines[i], version);
        if (found != NULL) {
            return found;
        }
    }
    refuse_family(family, err);
    return NULL;
}
