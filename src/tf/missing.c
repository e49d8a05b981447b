/*
 * Names that are used and not declared: collected while references are resolved, and reported once
 * each, with what was probably meant and all the places.
 */
#include "tf/eval_priv.h"

#define MISSING_PLACES_MAX 5

/* A name that is used but not declared; reported once, with all the places. */
struct Missing {
    const char *address;
    VEC(TfPos) uses;
};

void resolve_missing(Loader *loader, const char *address, TfPos pos)
{
    struct Missing *missing = NULL;
    for (size_t i = 0; i < loader->missing.len && missing == NULL; i++) {
        if (strcmp(loader->missing.items[i]->address, address) == 0) {
            missing = loader->missing.items[i];
        }
    }
    if (missing == NULL) {
        missing = ARENA_NEW(loader->arena, struct Missing);
        missing->address = address;
        arena_vec_push(loader->arena, &loader->missing, missing);
    }
    arena_vec_push(loader->arena, &missing->uses, pos);
}

/* A declared name that was probably meant: a similar one of the same kind, or the same name of a
 * similar kind. */
static const char *nearest_address(Loader *loader, const char *address)
{
    Slice name = slice_of(address);
    Slice root = slice_cut(&name, '.');
    VEC(const char *) names = {0};
    VEC(const char *) roots = {0};
    const NodeList *nodes = &loader->program->nodes;
    for (size_t i = 0; i < nodes->len; i++) {
        Slice other = slice_of(nodes->items[i]->address);
        Slice other_root = slice_cut(&other, '.');
        if (slice_eq(other_root, root)) {
            arena_vec_push(loader->arena, &names, other.data);
        } else if (slice_eq(other, name) && nodes->items[i]->kind != NODE_OUTPUT) {
            const char *text = arena_slice_str(loader->arena, other_root);
            arena_vec_push(loader->arena, &roots, text);
        }
    }
    const char *nearest = tf_nearest(name.data, names.items, names.len);
    if (nearest != NULL) {
        return arena_printf(loader->arena, "%.*s.%s", SLICE_FMT(root), nearest);
    }
    nearest = tf_nearest(arena_slice_str(loader->arena, root), roots.items, roots.len);
    return nearest != NULL ? arena_printf(loader->arena, "%s.%s", nearest, name.data) : NULL;
}

static bool is_secret_name(const char *name)
{
    static const char *const parts[] = {"password", "passwd", "secret", "token", "private_key"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (strstr(name, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static const char *missing_declaration(Arena *arena, const char *address)
{
    Slice name = slice_of(address);
    Slice root = slice_cut(&name, '.');
    if (slice_is(root, "var")) {
        return arena_printf(arena, "declare it: variable \"%s\" { %s }", name.data,
                            is_secret_name(name.data) ? "sensitive = true" : "default = …");
    }
    if (slice_is(root, "local")) {
        return arena_printf(arena, "declare it: locals { %s = … }", name.data);
    }
    return arena_printf(arena, "declare it: resource \"%.*s\" \"%s\" { … }", SLICE_FMT(root),
                        name.data);
}

static void append_places(Buf *hint, const struct Missing *missing)
{
    for (size_t i = 1; i < missing->uses.len && i <= MISSING_PLACES_MAX; i++) {
        buf_printf(hint, "%s%s:%d", i == 1 ? "\nit is also used at " : ", ",
                   tf_pos_file(missing->uses.items[i]), tf_pos_line(missing->uses.items[i]));
    }
    if (missing->uses.len > MISSING_PLACES_MAX + 1) {
        buf_append_str(hint, ", …");
    }
}

void resolve_report_missing(Loader *loader)
{
    for (size_t i = 0; i < loader->missing.len; i++) {
        const struct Missing *missing = loader->missing.items[i];
        const char *nearest = nearest_address(loader, missing->address);
        CLEANUP(buf_done) Buf hint;
        buf_init(&hint, BUF_MAX_DEFAULT);
        if (nearest != NULL) {
            buf_printf(&hint, "did you mean %s? Otherwise ", nearest);
        }
        buf_append_str(&hint, missing_declaration(loader->arena, missing->address));
        append_places(&hint, missing);
        loader_error(loader, missing->uses.items[0], buf_str(&hint), "%s is not declared",
                     missing->address);
    }
}
