/* Tables for people and JSON for programs. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli_priv.h"

#define COLUMNS_LEAST 20
#define ROWS_LEAST    4
#define ROWS_USUAL    24

#define GREEN         "\033[32m"
#define YELLOW        "\033[33m"
#define RED           "\033[31m"
#define BOLD          "\033[1m"
#define PLAIN         "\033[0m"

bool cli_terminal(FILE *out)
{
    const char *term = getenv("TERM");
    return isatty(fileno(out)) && (term == NULL || strcmp(term, "dumb") != 0);
}

bool cli_colors(FILE *out)
{
    const char *no_color = getenv("NO_COLOR");
    return cli_terminal(out) && (no_color == NULL || no_color[0] == '\0');
}

void table_init(Table *table, size_t columns, size_t state_column)
{
    ASSERT(columns <= TABLE_COLUMNS_MAX);
    *table = (Table){
        .columns = columns, .state_column = state_column, .headed = state_column != TABLE_NO_STATE};
}

void table_done(Table *table)
{
    for (size_t i = 0; i < table->cells.len; i++) {
        mem_free(table->cells.items[i]);
    }
    vec_done(&table->cells);
}

void table_row(Table *table, const char *const *cells)
{
    for (size_t i = 0; i < table->columns; i++) {
        vec_push(&table->cells, mem_strdup(cells[i] != NULL ? cells[i] : ""));
    }
}

/* How wide a text is on the screen: its characters, as far as they are one column each. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static const char *state_color(const char *state)
{
    static const char *const good[] = {"available", "running", "active", "sync"};
    static const char *const bad[] = {"failed", "error", "stopped"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (strcmp(state, good[i]) == 0) {
            return GREEN;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (strcmp(state, bad[i]) == 0) {
            return RED;
        }
    }
    return YELLOW;
}

typedef struct Layout {
    size_t widths[TABLE_COLUMNS_MAX]; /* 0: left out, since nothing stands in it */
    size_t last;                      /* column that is shown */
    bool colors;
} Layout;

static const char *cell_at(const Table *table, size_t row, size_t column)
{
    return table->cells.items[row * table->columns + column];
}

/* The head alone is no reason to show a column. */
static Layout layout(const Table *table, bool colors)
{
    Layout layout = {.colors = colors};
    size_t rows = table->cells.len / table->columns;
    for (size_t column = 0; column < table->columns; column++) {
        bool filled = !table->headed;
        size_t width = 0;
        for (size_t row = 0; row < rows; row++) {
            size_t own = width_of(cell_at(table, row, column));
            filled = filled || (row > 0 && own > 0);
            width = own > width ? own : width;
        }
        layout.widths[column] = filled ? width : 0;
        layout.last = layout.widths[column] > 0 ? column : layout.last;
    }
    return layout;
}

static const char *cell_color(const Table *table, size_t row, size_t column)
{
    if (row == 0 && table->headed) {
        return BOLD;
    }
    return column == table->state_column ? state_color(cell_at(table, row, column)) : NULL;
}

/* Nothing stands behind the last word of a line. */
static void row_print(const Table *table, const Layout *layout, size_t row, FILE *out)
{
    size_t gap = 0;
    for (size_t column = 0; column <= layout->last; column++) {
        const char *text = cell_at(table, row, column);
        size_t width = width_of(text);
        bool left_out = table->headed && layout->widths[column] == 0;
        if (text[0] != '\0' && !left_out) {
            const char *color = layout->colors ? cell_color(table, row, column) : NULL;
            fprintf(out, "%*s%s%s%s", (int)gap, "", color != NULL ? color : "", text,
                    color != NULL ? PLAIN : "");
            gap = 0;
        }
        gap += left_out ? 0 : layout->widths[column] + 2 - (text[0] != '\0' ? width : 0);
    }
    fputc('\n', out);
}

void table_print(const Table *table, FILE *out)
{
    table_print_colored(table, cli_colors(out), out);
}

void table_print_colored(const Table *table, bool colors, FILE *out)
{
    Layout shape = layout(table, colors);
    for (size_t row = 0; row < table->cells.len / table->columns; row++) {
        row_print(table, &shape, row, out);
    }
}

void cli_print_json(json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS);
    puts(text != NULL ? text : "null");
    free(text);
    json_decref(value);
}

size_t cli_columns(FILE *out)
{
    struct winsize size;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return CLI_COLUMNS_USUAL;
    }
    return size.ws_col > COLUMNS_LEAST ? size.ws_col : COLUMNS_LEAST;
}

size_t cli_rows(FILE *out)
{
    struct winsize size;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_row == 0) {
        return ROWS_USUAL;
    }
    return size.ws_row > ROWS_LEAST ? size.ws_row : ROWS_LEAST;
}

/* The last column stays free: some terminals go to the next line there. */
void text_wrap(const char *text, const char *indent, size_t columns, Buf *out)
{
    Slice rest = slice_of(text);
    size_t width = columns - 1 - strlen(indent);
    while (rest.len > width) {
        size_t cut = width + 1; /* a space there counts too */
        while (cut > 0 && rest.data[cut - 1] != ' ') {
            cut--;
        }
        cut = cut > 0 ? cut : width;
        buf_printf(out, "%s%.*s\n", indent, SLICE_FMT(slice_trim(slice_from(rest.data, cut))));
        rest = slice_skip(rest, cut);
    }
    buf_printf(out, "%s%.*s\n", indent, SLICE_FMT(rest));
}

static bool list_has(const char *list, Slice name)
{
    Slice rest = slice_of(list);
    while (rest.len > 0) {
        if (slice_eq(slice_trim(slice_cut(&rest, ',')), name)) {
            return true;
        }
    }
    return false;
}

const char *text_merge(Arena *arena, const char *list, const char *more)
{
    Slice rest = slice_of(more);
    while (rest.len > 0) {
        Slice name = slice_trim(slice_cut(&rest, ','));
        if (list == NULL) {
            list = arena_slice_str(arena, name);
        } else if (!list_has(list, name)) {
            list = arena_printf(arena, "%s, %.*s", list, SLICE_FMT(name));
        }
    }
    return list;
}
