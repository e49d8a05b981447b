/* The end of a terminal, redrawn in place. */
#include <unistd.h>

#include "cli/cli_priv.h"

void screen_init(Screen *screen, FILE *out)
{
    *screen = (Screen){.out = out, .live = cli_terminal(out)};
}

static void erase(Screen *screen, Buf *out)
{
    for (size_t i = 0; i < screen->drawn; i++) {
        buf_append_str(out, "\033[1A\033[2K");
    }
    screen->drawn = 0;
}

static size_t lines_of(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += *text == '\n';
    }
    return count;
}

void screen_put(Screen *screen, const char *above, const char *below)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    erase(screen, &out);
    buf_append_str(&out, above);
    if (screen->live) {
        buf_append_str(&out, below);
        screen->drawn = lines_of(below);
    }
    fputs(buf_str(&out), screen->out);
    fflush(screen->out);
    buf_done(&out);
}

/* Cut to a length in columns; colours take none of them, and end. */
static void line_cut(Slice line, size_t columns, Buf *out)
{
    size_t width = 0;
    bool escape = false;
    bool colored = false;
    size_t i = 0;
    for (; i < line.len; i++) {
        unsigned char c = (unsigned char)line.data[i];
        bool begins = !escape && (c & 0xc0) != 0x80; /* a character */
        colored = colored || c == '\033';
        escape = escape ? c != 'm' : c == '\033';
        width += begins && c != '\033';
        if (width > columns) {
            break;
        }
    }
    buf_append(out, line.data, i);
    buf_append_str(out, colored && i < line.len ? "\033[0m\n" : "\n");
}

void screen_fit(const Screen *screen, const char *text, Buf *out)
{
    size_t columns = cli_columns(screen->out) - 1;
    size_t rows = cli_rows(screen->out) - 1;
    size_t lines = lines_of(text);
    size_t shown = lines <= rows ? lines : rows - 1;
    Slice rest = slice_of(text);
    for (size_t i = 0; i < shown; i++) {
        line_cut(slice_cut(&rest, '\n'), columns, out);
    }
    if (shown < lines) {
        CLEANUP(mem_free_ptr) char *more = mem_printf("and %zu more", lines - shown);
        line_cut(slice_of(more), columns, out);
    }
}
