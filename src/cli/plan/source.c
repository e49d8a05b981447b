/* Terraform files and values of variables, read from where Terraform reads them. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/plan/plan_priv.h"

extern char **environ;

#define ENVIRONMENT_PREFIX "TF_VAR_"

static bool read_text(Arena *arena, const char *path, Slice *ret_text, Err *err)
{
    Buf text;
    buf_init(&text, TF_SOURCE_MAX + 1);
    bool ok = file_read(path, &text, err);
    if (ok) {
        *ret_text = slice_from(arena_strndup(arena, buf_str(&text), text.len), text.len);
    }
    buf_done(&text);
    return ok;
}

/* ---- configuration ----------------------------------------------------------------------------
 */

static bool add_file(Sources *sources, const char *path, Err *err)
{
    TfSource source = {.name = path};
    TRY(read_text(sources->arena, path, &source.text, err));
    arena_vec_push(sources->arena, &sources->sources, source);
    return true;
}

static bool is_configuration(const char *name)
{
    Slice slice = slice_of(name);
    return name[0] != '.' && (slice_ends(slice, ".tf") || slice_ends(slice, ".tf.json"));
}

static bool is_auto_values(const char *name)
{
    Slice slice = slice_of(name);
    return name[0] != '.' &&
           (slice_ends(slice, ".auto.tfvars") || slice_ends(slice, ".auto.tfvars.json"));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef VEC(char *) Names;

/* The paths of those files in the folder whose names pass, in the order of their names. */
static bool folder_list(Arena *arena, const char *folder, bool (*passes)(const char *name),
                        Names *names, Err *err)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return err_set_errno(err, errno, "cannot read the folder %s", folder);
    }
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (passes(entry->d_name)) {
            const char *slash = folder[strlen(folder) - 1] == '/' ? "" : "/";
            char *path = arena_printf(arena, "%s%s%s", folder, slash, entry->d_name);
            arena_vec_push(arena, names, path);
        }
    }
    closedir(dir);
    if (names->len > 0) {
        qsort(names->items, names->len, sizeof(char *), compare_names);
    }
    return true;
}

static bool add_folder(Sources *sources, const char *folder, Err *err)
{
    Names names = {0};
    TRY(folder_list(sources->arena, folder, is_configuration, &names, err));
    if (names.len == 0) {
        return err_set(err, ERR_INVALID, "there is no *.tf or *.tf.json in %s", folder);
    }
    for (size_t i = 0; i < names.len; i++) {
        TRY(add_file(sources, names.items[i], err));
    }
    return true;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* ---- values -----------------------------------------------------------------------------------
 */

static void add_input(Sources *sources, TfInputFrom from, const char *origin, const char *name,
                      Slice text)
{
    TfInput input = {from, origin, name, text};
    arena_vec_push(sources->arena, &sources->inputs, input);
}

static bool add_variable(Sources *sources, const char *option, Err *err)
{
    const char *equals = strchr(option, '=');
    if (equals == NULL || equals == option) {
        return err_set(err, ERR_INVALID, "--var takes NAME=VALUE, not \"%s\"", option);
    }
    Slice name = slice_trim(slice_from(option, (size_t)(equals - option)));
    add_input(sources, TF_FROM_OPTION, "--var", arena_slice_str(sources->arena, name),
              slice_of(arena_strdup(sources->arena, equals + 1)));
    return true;
}

static bool add_values_file(Sources *sources, const char *path, Err *err)
{
    Slice text;
    TRY(read_text(sources->arena, path, &text, err));
    add_input(sources, TF_FROM_FILE, path, NULL, text);
    return true;
}

static bool add_values_beside(Sources *sources, const char *folder, Err *err)
{
    static const char *const usual[] = {"terraform.tfvars.json", "terraform.tfvars"};
    Names names = {0};
    TRY(folder_list(sources->arena, folder, is_auto_values, &names, err));
    for (size_t i = names.len; i > 0; i--) { /* of Terraform's, the last counts most */
        TRY(add_values_file(sources, names.items[i - 1], err));
    }
    for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
        const char *path = arena_printf(sources->arena, "%s/%s", folder, usual[i]);
        if (file_exists(path) && !add_values_file(sources, path, err)) {
            return false;
        }
    }
    return true;
}

static void add_environment(Sources *sources)
{
    size_t prefix = strlen(ENVIRONMENT_PREFIX);
    for (char **at = environ; at != NULL && *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        if (strncmp(*at, ENVIRONMENT_PREFIX, prefix) == 0 && equals > *at + prefix) {
            char *origin = arena_strndup(sources->arena, *at, (size_t)(equals - *at));
            add_input(sources, TF_FROM_ENVIRONMENT, origin, origin + prefix,
                      slice_of(arena_strdup(sources->arena, equals + 1)));
        }
    }
}

static const char *folder_of(Arena *arena, const char *path)
{
    if (is_folder(path)) {
        return path;
    }
    const char *slash = strrchr(path, '/');
    return slash == NULL   ? "."
           : slash == path ? "/"
                           : arena_strndup(arena, path, (size_t)(slash - path));
}

/* What counts most comes first. */
static bool add_values(Sources *sources, const SourceOptions *options, Err *err)
{
    for (size_t i = options->vars_len; i > 0; i--) {
        TRY(add_variable(sources, options->vars[i - 1], err));
    }
    for (size_t i = options->var_files_len; i > 0; i--) {
        TRY(add_values_file(sources, options->var_files[i - 1], err));
    }
    if (options->paths_len > 0) {
        TRY(add_values_beside(sources, folder_of(sources->arena, options->paths[0]), err));
    }
    add_environment(sources);
    return true;
}

bool sources_read(Arena *arena, const SourceOptions *options, Sources *ret_sources, Err *err)
{
    Sources sources = {.arena = arena};
    for (size_t i = 0; i < options->paths_len; i++) {
        const char *path = arena_strdup(arena, options->paths[i]);
        TRY(is_folder(path) ? add_folder(&sources, path, err) : add_file(&sources, path, err));
    }
    TRY(add_values(&sources, options, err));
    if (sources.sources.len > TF_SOURCES_MAX) {
        return err_set(err, ERR_LIMIT, "these are %zu files; at most %d can be applied at once",
                       sources.sources.len, TF_SOURCES_MAX);
    }
    *ret_sources = sources;
    return true;
}
