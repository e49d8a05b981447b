/* Statements one by one, and what the scan says of each. */
#include "proxy/admin/explain_priv.h"

/* ---- statements --------------------------------------------------------------------------------
 */

static size_t lines_in(Slice text)
{
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.data[i] == '\n';
    }
    return lines;
}

static Slice take(Explain *explain, size_t len)
{
    Slice taken = {explain->rest.data, len};
    explain->lines += lines_in(taken);
    explain->rest = slice_skip(explain->rest, len);
    return taken;
}

/* psql's own commands are not sent to a server. */
static void skip_command(Explain *explain)
{
    const char *end = memchr(explain->rest.data, '\n', explain->rest.len);
    take(explain, end != NULL ? (size_t)(end - explain->rest.data) : explain->rest.len);
}

/* To the first byte of a statement, which the scan has read. False: there is none. */
static bool find_statement(Explain *explain)
{
    sql_scan_begin(&explain->scan, explain->dialect);
    while (explain->rest.len > 0) {
        sql_scan_feed(&explain->scan, (Slice){explain->rest.data, 1});
        if (sql_scan_is_blank(&explain->scan)) {
            take(explain, 1);
        } else if (explain->rest.data[0] == '\\') {
            skip_command(explain);
            sql_scan_begin(&explain->scan, explain->dialect);
        } else {
            return true;
        }
    }
    return false;
}

bool explain_next(Explain *explain, Explained *ret_explained)
{
    bool ended;
    if (!find_statement(explain)) {
        return false;
    }
    size_t line = explain->lines + 1;
    size_t len = 1 + sql_scan_feed_statement(&explain->scan, slice_skip(explain->rest, 1), &ended);
    bool open = !ended && sql_scan_is_open(&explain->scan);
    sql_scan_end(&explain->scan);
    Slice text = take(explain, len);
    *ret_explained = (Explained){.text = slice_trim((Slice){text.data, len - (ended ? 1 : 0)}),
                                 .line = line,
                                 .open = open,
                                 .effects = sql_scan_effects(&explain->scan)};
    return true;
}

/* ---- words -------------------------------------------------------------------------------------
 */

static void remark(Buf *out, size_t start, const char *text)
{
    buf_append_str(out, out->len > start ? "; " : "");
    buf_append_str(out, text);
}

/* The names that are touched in this way, in one remark. */
static void remark_settings(Slice touched, Touch which, const char *words, Buf *out, size_t start)
{
    Touch touch;
    Slice name;
    bool any = false;
    while (touched_next(&touched, &touch, &name)) {
        if (touch != which) {
            continue;
        }
        if (!any) {
            remark(out, start, words);
        }
        buf_printf(out, "%s%.*s", any ? ", " : name.len > 0 ? " " : "", SLICE_FMT(name));
        any = true;
    }
}

void explain_remarks(const TextEffects *effects, Buf *out)
{
    size_t start = out->len;
    if ((effects->pins & PIN_BIT(PIN_LISTEN)) != 0) {
        remark(out, start, "listens, which pins without shared_listeners");
    }
    remark_settings(effects->touched, TOUCH_SET, "sets", out, start);
    remark_settings(effects->touched, TOUCH_RESET, "resets", out, start);
    remark_settings(effects->touched, TOUCH_ALL, "resets all settings", out, start);
    if ((effects->token & SQL_TOKEN_SET) != 0) {
        remark(out, start, "from the next transaction on replicas must have what the token says");
    }
    if ((effects->token & SQL_TOKEN_SHOWN) != 0) {
        remark(out, start, "shows what the session has written, as a token");
    }
    if ((effects->token & SQL_TOKEN_LOCAL) != 0) {
        remark(out, start, "is refused: " SQL_TOKEN_NAME " cannot be set LOCAL");
    }
    if (!touched_lasts(effects->touched) && effects->touched.len > 0) {
        remark(out, start, "sets for its transaction only");
    }
    if (touched_reading(effects->touched)) {
        remark(out, start, "texts behind it may be read otherwise");
    }
    if (effects->alone) {
        remark(out, start, "settings go ahead of it in a round trip of their own");
    }
    if (effects->writes && effects->pins != PIN_BIT(PIN_LISTEN)) {
        remark(out, start, "may move a sequence");
    }
    if (effects->releases) {
        remark(out, start, "may end a pin");
    }
}

/* A run of white space is one space, and what is neither printable nor UTF-8 is '?'. */
void explain_excerpt(Slice text, size_t max, Buf *out)
{
    size_t start = out->len;
    while (text.len > 0) {
        size_t len = utf8_len(text);
        unsigned char c = (unsigned char)text.data[0];
        bool space = c == ' ' || (c >= '\t' && c <= '\r');
        bool hidden = len == 0 || c < ' ' || c == 0x7f ||
                      (c == 0xc2 && len == 2 && (unsigned char)text.data[1] < 0xa0);
        Slice shown = space ? SLICE(" ") : hidden ? SLICE("?") : (Slice){text.data, len};
        if (out->len - start + shown.len > max) {
            buf_append_str(out, "…");
            return;
        }
        if (!space || (out->len > start && out->data[out->len - 1] != ' ')) {
            buf_append_slice(out, shown);
        }
        text = slice_skip(text, len > 0 ? len : 1);
    }
}
