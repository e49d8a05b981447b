/*
 * Diagnostics: collecting them, ordering them, and their one text form. A line of a file that holds
 * variable values is shown up to its "=": behind it may stand a password.
 */
#include <stdlib.h>

#include "tf/ast_priv.h"

#define LINE_SHOWN_MAX 160 /* code points of a source line */

/* ---- positions ---------------------------------------------------------------------------- */

static size_t line_start(TfPos pos)
{
    size_t at = pos.offset;
    while (at > 0 && pos.file->text.data[at - 1] != '\n') {
        at--;
    }
    return at;
}

const char *tf_pos_file(TfPos pos)
{
    return pos.file != NULL ? pos.file->name : NULL;
}

int tf_pos_line(TfPos pos)
{
    if (pos.file == NULL) {
        return 0;
    }
    int line = 1;
    for (size_t i = 0; i < pos.offset; i++) {
        line += pos.file->text.data[i] == '\n';
    }
    return line;
}

int tf_pos_column(TfPos pos)
{
    if (pos.file == NULL) {
        return 0;
    }
    size_t start = line_start(pos);
    return 1 + (int)utf8_count((Slice){pos.file->text.data + start, pos.offset - start});
}

/* The line without what a terminal would take as a command. */
static char *line_clean(Arena *arena, Slice line)
{
    size_t shown = utf8_bytes(line, LINE_SHOWN_MAX);
    char *text = arena_printf(arena, "%.*s%s", (int)shown, line.data, shown < line.len ? "…" : "");
    for (char *c = text; *c != '\0'; c++) {
        if (((uint8_t)*c < 0x20 && *c != '\t') || *c == 0x7f) {
            *c = ' ';
        }
    }
    return text;
}

static const char *pos_source_line(Arena *arena, TfPos pos)
{
    if (pos.file == NULL || pos.file->hidden) {
        return NULL;
    }
    Slice rest = slice_skip(pos.file->text, line_start(pos));
    Slice line = slice_cut(&rest, '\n');
    if (slice_ends(line, "\r")) {
        line.len--;
    }
    const char *equals = memchr(line.len > 0 ? line.data : "", '=', line.len);
    if (pos.file->private_values) {
        if (equals == NULL) {
            return NULL;
        }
        line.len = (size_t)(equals - line.data) + 1;
        return arena_printf(arena, "%s …", line_clean(arena, line));
    }
    return line_clean(arena, line);
}

/* ---- collecting ----------------------------------------------------------------------------- */

void tf_diagnostics_init(TfDiagnostics *diagnostics, Arena *arena)
{
    *diagnostics = (TfDiagnostics){.arena = arena};
}

static bool diagnostics_have(const TfDiagnostics *diagnostics, TfPos pos, const char *message)
{
    for (size_t i = 0; i < diagnostics->list.len; i++) {
        const TfDiagnostic *other = &diagnostics->list.items[i];
        if (other->pos.file == pos.file && other->pos.offset == pos.offset &&
            strcmp(other->message, message) == 0) {
            return true;
        }
    }
    return false;
}

void tf_diagnose(TfDiagnostics *diagnostics, TfSeverity severity, TfPos pos, const char *message,
                 const char *hint)
{
    if (diagnostics_have(diagnostics, pos, message)) {
        return;
    }
    diagnostics->errors += severity == TF_ERROR;
    if (diagnostics->list.len == TF_DIAGNOSTICS_MAX) {
        diagnostics->dropped++;
        return;
    }
    Arena *arena = diagnostics->arena;
    TfDiagnostic diagnostic = {.severity = severity,
                               .pos = pos,
                               .file = tf_pos_file(pos),
                               .line = tf_pos_line(pos),
                               .column = tf_pos_column(pos),
                               .source_line = pos_source_line(arena, pos),
                               .message = arena_strdup(arena, message),
                               .hint = arena_strdup(arena, hint)};
    arena_vec_push(arena, &diagnostics->list, diagnostic);
}

typedef struct Ordered {
    TfDiagnostic diagnostic;
    size_t index;
} Ordered;

static int compare_ordered(const void *a, const void *b)
{
    const Ordered *x = a;
    const Ordered *y = b;
    size_t file_x = x->diagnostic.file != NULL ? x->diagnostic.pos.file->order + 1 : 0;
    size_t file_y = y->diagnostic.file != NULL ? y->diagnostic.pos.file->order + 1 : 0;
    if (file_x != file_y) {
        return file_x < file_y ? -1 : 1;
    }
    if (x->diagnostic.pos.offset != y->diagnostic.pos.offset) {
        return x->diagnostic.pos.offset < y->diagnostic.pos.offset ? -1 : 1;
    }
    return x->index < y->index ? -1 : 1;
}

void tf_diagnostics_sort(TfDiagnostics *diagnostics)
{
    size_t len = diagnostics->list.len;
    Ordered *ordered = mem_alloc(len * sizeof(*ordered));
    for (size_t i = 0; i < len; i++) {
        ordered[i] = (Ordered){diagnostics->list.items[i], i};
    }
    qsort(ordered, len, sizeof(*ordered), compare_ordered);
    for (size_t i = 0; i < len; i++) {
        diagnostics->list.items[i] = ordered[i].diagnostic;
    }
    mem_free(ordered);
}

/* ---- text --------------------------------------------------------------------------------- */

static void format_indent(Buf *out, int width)
{
    for (int i = 0; i < width; i++) {
        buf_append_char(out, ' ');
    }
}

static void format_hint(const char *hint, int indent, Buf *out)
{
    Slice rest = slice_of(hint);
    while (rest.data != NULL) {
        format_indent(out, indent);
        buf_append_slice(out, slice_cut(&rest, '\n'));
        buf_append_char(out, '\n');
    }
}

void tf_diagnostic_format(const TfDiagnostic *diagnostic, Buf *out)
{
    const char *severity = diagnostic->severity == TF_ERROR ? "error" : "warning";
    if (diagnostic->file == NULL) {
        buf_printf(out, "%s: %s\n", severity, diagnostic->message);
    } else {
        buf_printf(out, "%s: %s:%d: %s\n", severity, diagnostic->file, diagnostic->line,
                   diagnostic->message);
    }
    int indent = 2;
    if (diagnostic->source_line != NULL) {
        size_t before = out->len;
        buf_printf(out, "  %d ", diagnostic->line);
        indent = (int)(out->len - before);
        buf_printf(out, "| %s\n", diagnostic->source_line);
    }
    if (diagnostic->hint != NULL) {
        format_hint(diagnostic->hint, indent, out);
    }
}

void tf_diagnostics_format(const TfDiagnostics *diagnostics, Buf *out)
{
    for (size_t i = 0; i < diagnostics->list.len; i++) {
        tf_diagnostic_format(&diagnostics->list.items[i], out);
    }
    if (diagnostics->dropped > 0) {
        buf_printf(out, "%zu more are not shown\n", diagnostics->dropped);
    }
}

/* ---- suggestions ---------------------------------------------------------------------------- */

#define NEAREST_NAME_MAX 64

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours that lead from one to the other. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NEAREST_NAME_MAX + 1];
    for (size_t j = 0; j <= b_len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *up = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            bool same = lower(a[i - 1]) == lower(b[j - 1]);
            row[j] = least_of(up[j - 1] + (same ? 0 : 1), 1 + least_of(up[j], row[j - 1]));
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1])) {
                row[j] = least_of(row[j], rows[(i - 2) % 3][j - 2] + 1);
            }
        }
    }
    return rows[a_len % 3][b_len];
}

const char *tf_nearest(const char *name, const char *const *names, size_t names_len)
{
    size_t len = strlen(name);
    if (len == 0 || len > NEAREST_NAME_MAX) {
        return NULL;
    }
    const char *nearest = NULL;
    size_t least = 1 + len / 4 + 1; /* one more than what is still near */
    for (size_t i = 0; i < names_len; i++) {
        size_t other_len = strlen(names[i]);
        if (other_len > NEAREST_NAME_MAX) {
            continue;
        }
        size_t distance = edit_distance(name, len, names[i], other_len);
        if (distance < least && distance < len) {
            least = distance;
            nearest = names[i];
        }
    }
    return nearest;
}
