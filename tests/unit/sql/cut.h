/* A text is scanned in two parts, wherever it is cut. */
#ifndef WEIR_TESTS_UNIT_SQL_CUT_H
#define WEIR_TESTS_UNIT_SQL_CUT_H

#include "../unit.h"

#include "sql/sql.h"

static inline SqlScan scan_cut(Slice text, size_t cut, SqlDialect dialect)
{
    SqlScan scan = {.dialect = dialect};
    sql_scan_feed(&scan, (Slice){text.data, cut});
    sql_scan_feed(&scan, slice_skip(text, cut));
    sql_scan_end(&scan);
    return scan;
}

static inline void touched_format(Slice touched, char *out, size_t size)
{
    Touch touch;
    Slice name;
    size_t len = 0;
    out[0] = '\0';
    while (touched_next(&touched, &touch, &name)) {
        len += (size_t)snprintf(out + len, size - len, "%s%c%.*s", len > 0 ? " " : "", (char)touch,
                                SLICE_FMT(name));
        assert_true(len < size);
    }
}

static inline void check_touched(Slice text, PinReason pin, const char *touched, SqlDialect dialect)
{
    for (size_t cut = 0; cut <= text.len; cut++) {
        SqlScan scan = scan_cut(text, cut, dialect);
        TextEffects effects = sql_scan_effects(&scan);
        char found[SQL_TOUCHED_MAX];
        touched_format(effects.touched, found, sizeof(found));
        if (effects.pin != pin) {
            fail_msg("%.*s: %s, not %s", SLICE_FMT(text), pin_reason_name(effects.pin),
                     pin_reason_name(pin));
        }
        if (strcmp(found, touched) != 0) {
            fail_msg("%.*s: touches \"%s\", not \"%s\"", SLICE_FMT(text), found, touched);
        }
    }
}

#endif
