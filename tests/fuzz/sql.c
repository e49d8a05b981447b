/* The scan of SQL says the same however the text is cut, and more text in front of or behind a
 * statement never makes a pin or a setting go away: so neither of its statements pins where the
 * text does not. A memo, which goes on from run to run, says what a scan says. The first byte is
 * the cut, the second the dialect. */
#include "sql/sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static SqlScan scan_all(Slice text, size_t cut, SqlDialect dialect)
{
    SqlScan scan = {.dialect = dialect};
    sql_scan_feed(&scan, (Slice){text.data, cut});
    sql_scan_feed(&scan, slice_skip(text, cut));
    sql_scan_end(&scan);
    ASSERT(scan.effects.pin < PIN_REASON_COUNT);
    return scan;
}

static bool same(const SqlScan *a, const SqlScan *b)
{
    return a->effects.pin == b->effects.pin && a->effects.writes == b->effects.writes &&
           a->effects.pins == b->effects.pins && a->effects.token == b->effects.token &&
           a->effects.several == b->effects.several && a->effects.harmless == b->effects.harmless &&
           slice_eq(sql_scan_effects(a).touched, sql_scan_effects(b).touched);
}

/* What is behind another text does what it does alone. */
static void check_behind(const char *before, Slice text, const SqlScan *alone)
{
    SqlScan scan = {.dialect = alone->dialect};
    sql_scan_feed(&scan, slice_of(before));
    sql_scan_feed(&scan, text);
    sql_scan_end(&scan);
    ASSERT(scan.effects.pin == alone->effects.pin && scan.effects.pins == alone->effects.pins);
    ASSERT(scan.effects.token == alone->effects.token);
    ASSERT(slice_eq(sql_scan_effects(&scan).touched, sql_scan_effects(alone).touched));
}

/* Cut where statements end, it is the same text; and each is scanned on its own, too. */
static void check_statements(Slice text, const SqlScan *whole)
{
    SqlScan scan = {.dialect = whole->dialect};
    for (Slice rest = text; rest.len > 0;) {
        bool ended;
        bool ended_alone;
        SqlScan alone = {.dialect = whole->dialect};
        size_t len = sql_scan_feed_statement(&scan, rest, &ended);
        ASSERT(len > 0 && len <= rest.len && (ended || len == rest.len));
        if (!scan.ended) {
            ASSERT(sql_scan_feed_statement(&alone, rest, &ended_alone) == len);
            ASSERT(ended_alone == ended);
            sql_scan_end(&alone);
            ASSERT(whole->effects.pin != PIN_NONE || alone.effects.pin == PIN_NONE);
            ASSERT((alone.effects.pins & ~whole->effects.pins) == 0);
            ASSERT((alone.effects.token & ~whole->effects.token) == 0);
        }
        rest = slice_skip(rest, len);
    }
    sql_scan_end(&scan);
    ASSERT(same(&scan, whole));
}

static void check_memo(Slice text, const SqlScan *whole)
{
    static SqlMemo *memo;
    if (memo == NULL) {
        memo = sql_memo_new();
    }
    for (int i = 0; i < 2; i++) {
        SqlScan scratch;
        TextEffects mine = sql_memo_effects(memo, whole->dialect, text, &scratch);
        TextEffects theirs = sql_scan_effects(whole);
        ASSERT(slice_eq(mine.touched, theirs.touched));
        ASSERT(mine.pin == theirs.pin && mine.writes == theirs.writes &&
               mine.forgets == theirs.forgets && mine.alone == theirs.alone &&
               mine.chains == theirs.chains && mine.undoes == theirs.undoes &&
               mine.releases == theirs.releases && mine.ddl == theirs.ddl &&
               mine.reads == theirs.reads && mine.digest == theirs.digest &&
               mine.pins == theirs.pins && mine.token == theirs.token &&
               mine.several == theirs.several && mine.harmless == theirs.harmless);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    Slice text = slice_from(data + 2, size - 2);
    SqlDialect dialect = {(data[1] & 1) != 0, (data[1] & 2) != 0, (data[1] & 4) != 0, NULL, true};
    SqlScan whole = scan_all(text, text.len, dialect);
    SqlScan split = scan_all(text, data[0] % (text.len + 1), dialect);
    ASSERT(same(&whole, &split));
    check_statements(text, &whole);
    check_memo(text, &whole);
    bool has_nul = text.len > 0 && memchr(text.data, '\0', text.len) != NULL;
    if (!has_nul) {
        check_behind("select 1; ", text, &whole);
        check_behind("/* x */ ", text, &whole);
    }
    return 0;
}
