/*
 * Progress for people. On a terminal each resource that is under way has a line with its state and
 * its seconds, redrawn in place below the lines of those that are through; elsewhere every event is
 * a line.
 */
#include "cli/apply/apply_priv.h"

#define REDRAW_MS     200
#define SECONDS_WIDTH 10 /* with the spaces around */
#define STATE_WIDTH   24 /* of a state; what is longer is cut */
#define ADDRESS_LEAST 16

typedef struct Line {
    char *address;
    char *state;
    int64_t begun_ms;
} Line;

struct Display {
    Screen screen;
    bool colors;
    int address_width;
    VEC(Line) lines; /* under way */
    int64_t drawn_ms;
};

Display *display_new(FILE *out, size_t address_width)
{
    Display *display = mem_alloc(sizeof(Display));
    screen_init(&display->screen, out);
    display->colors = cli_colors(out);
    display->address_width = (int)address_width;
    return display;
}

static void line_done(Line *line)
{
    mem_free(line->address);
    mem_free(line->state);
}

void display_free(Display *display)
{
    if (display != NULL) {
        for (size_t i = 0; i < display->lines.len; i++) {
            line_done(&display->lines.items[i]);
        }
        vec_done(&display->lines);
        mem_free(display);
    }
}

static Line *line_find(Display *display, const char *address)
{
    for (size_t i = 0; i < display->lines.len; i++) {
        if (strcmp(display->lines.items[i].address, address) == 0) {
            return &display->lines.items[i];
        }
    }
    return NULL;
}

static void line_drop(Display *display, const char *address)
{
    Line *line = line_find(display, address);
    if (line != NULL) {
        line_done(line);
        size_t at = (size_t)(line - display->lines.items);
        memmove(line, line + 1, (display->lines.len - at - 1) * sizeof(Line));
        display->lines.len--;
    }
}

/* ---- drawing ----------------------------------------------------------------------------------
 */

/* As wide as the longest address, as far as there is room for the seconds and a state. */
static int address_column(const Display *display, size_t width)
{
    size_t most = width > SECONDS_WIDTH + STATE_WIDTH + ADDRESS_LEAST
                      ? width - SECONDS_WIDTH - STATE_WIDTH
                      : ADDRESS_LEAST;
    return display->address_width < (int)most ? display->address_width : (int)most;
}

/* What is longer than the column loses its beginning, which says the least. */
static char *address_new(const char *address, int column)
{
    size_t len = strlen(address);
    size_t most = (size_t)column;
    return len <= most ? mem_strdup(address) : mem_printf("…%s", address + len - most + 1);
}

/* Behind an address of these columns: a character of it may be more than a byte. */
static int pad_of(const char *address, int column)
{
    return slice_starts(slice_of(address), "…") ? column + (int)strlen("…") - 1 : column;
}

static void draw_line(const Display *display, const Line *line, Buf *out)
{
    int seconds = (int)((display->drawn_ms - line->begun_ms) / MS_PER_S);
    int column = address_column(display, cli_columns(display->screen.out));
    CLEANUP(mem_free_ptr) char *address = address_new(line->address, column);
    buf_printf(out, "%-*s %6d s  %s\n", pad_of(address, column), address, seconds, line->state);
}

/* Puts `text`, a whole line or nothing, above the lines that are under way. */
static void put(Display *display, const char *text)
{
    Buf lines;
    Buf fitted;
    buf_init(&lines, BUF_MAX_DEFAULT);
    buf_init(&fitted, BUF_MAX_DEFAULT);
    display->drawn_ms = time_mono_ms();
    for (size_t i = 0; i < display->lines.len; i++) {
        draw_line(display, &display->lines.items[i], &lines);
    }
    screen_fit(&display->screen, buf_str(&lines), &fitted);
    screen_put(&display->screen, text, buf_str(&fitted));
    buf_done(&lines);
    buf_done(&fitted);
}

/* ---- events -----------------------------------------------------------------------------------
 */

static void on_state(void *user, const char *address, const char *state, int64_t elapsed_ms)
{
    Display *display = user;
    Line *line = line_find(display, address);
    if (line == NULL) {
        Line new_line = {.address = mem_strdup(address), .begun_ms = time_mono_ms() - elapsed_ms};
        vec_push(&display->lines, new_line);
        line = &display->lines.items[display->lines.len - 1];
    }
    mem_free(line->state);
    line->state = mem_strdup(state);
    CLEANUP(mem_free_ptr) char *text = mem_printf("%s: %s\n", address, state);
    put(display, display->screen.live ? "" : text);
}

static void on_remark(void *user, const char *address, const char *text, int64_t elapsed_ms)
{
    Display *display = user;
    (void)elapsed_ms;
    CLEANUP(mem_free_ptr) char *line = mem_printf("%s: %s", address, text);
    Buf wrapped;
    buf_init(&wrapped, BUF_MAX_DEFAULT);
    text_wrap(line, "", cli_columns(display->screen.out), &wrapped);
    put(display, buf_str(&wrapped));
    buf_done(&wrapped);
}

static void put_end(Display *display, const char *address, const char *color, const char *text,
                    int64_t elapsed_ms)
{
    line_drop(display, address);
    double seconds = (double)elapsed_ms / (double)MS_PER_S;
    int column = address_column(display, cli_columns(display->screen.out));
    CLEANUP(mem_free_ptr) char *shown = address_new(address, column);
    CLEANUP(mem_free_ptr)
    char *line = display->screen.live ? mem_printf("%-*s %6.1f s  %s%s%s\n", pad_of(shown, column),
                                                   shown, seconds, display->colors ? color : "",
                                                   text, display->colors ? "\033[0m" : "")
                                      : mem_printf("%s: %s after %.1f s\n", address, text, seconds);
    put(display, line);
}

static void on_done(void *user, const char *address, const char *state, int64_t elapsed_ms)
{
    put_end(user, address, "\033[32m", state, elapsed_ms);
}

static void on_error(void *user, const char *address, const char *message, int64_t elapsed_ms)
{
    CLEANUP(mem_free_ptr) char *text = mem_printf("failed: %s", message);
    put_end(user, address, "\033[31m", text, elapsed_ms);
}

static void on_tick(void *user)
{
    Display *display = user;
    if (display->screen.live && time_mono_ms() - display->drawn_ms >= REDRAW_MS) {
        put(display, "");
    }
}

ApplyProgress display_progress(Display *display)
{
    return (ApplyProgress){on_state, on_remark, on_done, on_error, on_tick, display};
}
