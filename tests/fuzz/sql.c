/* The scan of SQL says the same however the text is cut, and more text in front of or behind a
 * statement never makes a pin go away. The first byte is the cut, the second the dialect. */
#include "proxy/sql_scan_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static SqlScan scan_all(Slice text, size_t cut, SqlDialect dialect)
{
    SqlScan scan = {.dialect = dialect};
    sql_scan_feed(&scan, (Slice){text.data, cut});
    sql_scan_feed(&scan, slice_skip(text, cut));
    sql_scan_end(&scan);
    ASSERT(scan.pin < PIN_REASON_COUNT);
    return scan;
}

static PinReason pin_of(const char *before, Slice text, SqlDialect dialect)
{
    SqlScan scan = {.dialect = dialect};
    sql_scan_feed(&scan, slice_of(before));
    sql_scan_feed(&scan, text);
    sql_scan_end(&scan);
    return scan.pin;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    Slice text = slice_from(data + 2, size - 2);
    SqlDialect dialect = {(data[1] & 1) != 0, (data[1] & 2) != 0, (data[1] & 4) != 0};
    SqlScan whole = scan_all(text, text.len, dialect);
    SqlScan split = scan_all(text, data[0] % (text.len + 1), dialect);
    ASSERT(whole.pin == split.pin && whole.writes == split.writes);
    bool has_nul = text.len > 0 && memchr(text.data, '\0', text.len) != NULL;
    if (whole.pin != PIN_NONE && !has_nul) {
        ASSERT(pin_of("select 1; ", text, dialect) == whole.pin);
        ASSERT(pin_of("/* x */ ", text, dialect) == whole.pin);
    }
    return 0;
}
