/*
 * Walks over RESP values of any size, a byte of state at a time, so that they can be forwarded in
 * whatever pieces they arrive.
 *
 *   TYPE -> NUMBER -> NUMBER_LF -> (bulk) BULK -> BULK_CR -> BULK_LF -> value ended
 *                              \-> (aggregate) TYPE of its first item
 *        -> LINE -> LINE_LF -> value ended
 *        -> INLINE -> value ended (requests only)
 *
 * A value that ends takes one off the aggregate around it; when the outermost has ended, the scan
 * is back at TYPE with depth 0.
 */
#include "wire/wire.h"

enum {
    AT_TYPE,
    AT_NUMBER,
    AT_NUMBER_LF,
    AT_BULK,
    AT_BULK_CR,
    AT_BULK_LF,
    AT_LINE,
    AT_LINE_LF,
    AT_INLINE
};

#define DIGITS_MAX 19

bool resp_scan_idle(const RespScan *scan)
{
    return !scan->began_;
}

static bool is_line_type(char type)
{
    return type == '+' || type == '-' || type == ',' || type == '(' || type == '#' || type == '_';
}

static bool is_bulk_type(char type)
{
    return type == '$' || type == '!' || type == '=';
}

static bool is_aggregate_type(char type)
{
    return type == '*' || type == '%' || type == '~' || type == '>' || type == '|';
}

/* True when the outermost value has ended. An attribute is no value: its owner still has to come.
 */
static bool value_ended(RespScan *scan)
{
    scan->state_ = AT_TYPE;
    while (scan->depth_ > 0) {
        int64_t *left = &scan->items_left_[scan->depth_ - 1];
        *left -= 1;
        if (*left > 0) {
            return false;
        }
        scan->depth_--;
        uint32_t bit = (uint32_t)1 << scan->depth_;
        if ((scan->attributes_ & bit) != 0) {
            scan->attributes_ &= ~bit;
            return false;
        }
    }
    return true;
}

static void keep(RespScan *scan, Slice text)
{
    if (scan->kept_done_ || scan->type == 0) {
        return;
    }
    for (size_t i = 0; i < text.len && scan->kept_len < RESP_KEPT_MAX; i++) {
        char c = text.data[i];
        scan->kept[scan->kept_len++] = scan->requests ? char_upper(c) : c;
    }
}

static void keep_done(RespScan *scan)
{
    scan->kept_done_ = scan->type != 0;
}

/* ---- one step each; *at moves over what was taken ------------------------------------------- */

static WireResult step_type(RespScan *scan, Slice in, size_t *at)
{
    char type = in.data[*at];
    bool outermost = scan->depth_ == 0;
    scan->header_ = type;
    scan->number_ = 0;
    scan->digits_ = 0;
    scan->negative_ = false;
    scan->line_len_ = 0;
    if (scan->requests) {
        if (outermost && type != '*') {
            scan->type = 'i';
            scan->state_ = AT_INLINE;
            return WIRE_MORE;
        }
        if (type != (outermost ? '*' : '$')) {
            return WIRE_BAD;
        }
    }
    if (outermost && type != '|') {
        scan->type = type;
    }
    *at += 1;
    if (is_line_type(type)) {
        scan->state_ = AT_LINE;
    } else if (is_bulk_type(type) || is_aggregate_type(type) || type == ':') {
        scan->state_ = AT_NUMBER;
    } else {
        return WIRE_BAD;
    }
    return WIRE_MORE;
}

static WireResult step_number(RespScan *scan, Slice in, size_t *at)
{
    char c = in.data[(*at)++];
    if (c == '\r' && scan->digits_ > 0) {
        scan->state_ = AT_NUMBER_LF;
        return scan->negative_ && scan->number_ == 0 ? WIRE_BAD : WIRE_MORE;
    }
    if (c == '-' && scan->digits_ == 0 && !scan->negative_) {
        scan->negative_ = true;
        return WIRE_MORE;
    }
    bool leading_zero = scan->digits_ > 0 && scan->number_ == 0;
    if (c < '0' || c > '9' || leading_zero || scan->digits_ == DIGITS_MAX) {
        return WIRE_BAD;
    }
    /* Kept negative, for the smallest number has no positive counterpart. */
    if (__builtin_mul_overflow(scan->number_, 10, &scan->number_) ||
        __builtin_sub_overflow(scan->number_, c - '0', &scan->number_)) {
        return WIRE_BAD;
    }
    scan->digits_++;
    return WIRE_MORE;
}

static WireResult open_aggregate(RespScan *scan, int64_t count)
{
    char type = scan->header_;
    bool pairs = type == '%' || type == '|';
    int64_t limit = scan->requests ? RESP_ARGS_MAX : RESP_ITEMS_MAX;
    bool is_null = type == '*' && count == -1;
    if (count > limit || (count < 0 && !is_null)) {
        return WIRE_BAD;
    }
    if (count <= 0) {
        scan->state_ = AT_TYPE;
        return type != '|' && value_ended(scan) ? WIRE_DONE : WIRE_MORE;
    }
    if (scan->depth_ == RESP_DEPTH_MAX) {
        return WIRE_BAD;
    }
    if (type == '|') {
        scan->attributes_ |= (uint32_t)1 << scan->depth_;
    }
    scan->items_left_[scan->depth_++] = pairs ? 2 * count : count;
    scan->state_ = AT_TYPE;
    return WIRE_MORE;
}

static WireResult open_bulk(RespScan *scan, int64_t len)
{
    if (len == -1 && !scan->requests && scan->header_ == '$') {
        return value_ended(scan) ? WIRE_DONE : WIRE_MORE;
    }
    if (len < 0 || len > RESP_BULK_MAX) {
        return WIRE_BAD;
    }
    scan->number_ = len;
    scan->state_ = len > 0 ? AT_BULK : AT_BULK_CR;
    return WIRE_MORE;
}

static WireResult step_number_lf(RespScan *scan, Slice in, size_t *at)
{
    if (in.data[(*at)++] != '\n' || (!scan->negative_ && scan->number_ == INT64_MIN)) {
        return WIRE_BAD;
    }
    int64_t number = scan->negative_ ? scan->number_ : -scan->number_;
    if (scan->depth_ == 0 && scan->header_ != '|') {
        scan->count = number;
    }
    if (scan->header_ == ':') {
        return value_ended(scan) ? WIRE_DONE : WIRE_MORE;
    }
    return is_bulk_type(scan->header_) ? open_bulk(scan, number) : open_aggregate(scan, number);
}

static WireResult step_bulk(RespScan *scan, Slice in, size_t *at)
{
    size_t here = in.len - *at;
    if ((uint64_t)here > (uint64_t)scan->number_) {
        here = (size_t)scan->number_;
    }
    keep(scan, (Slice){in.data + *at, here});
    *at += here;
    scan->number_ -= (int64_t)here;
    if (scan->number_ == 0) {
        scan->state_ = AT_BULK_CR;
    }
    return WIRE_MORE;
}

static WireResult step_bulk_end(RespScan *scan, Slice in, size_t *at)
{
    char c = in.data[(*at)++];
    if (scan->state_ == AT_BULK_CR) {
        scan->state_ = AT_BULK_LF;
        return c == '\r' ? WIRE_MORE : WIRE_BAD;
    }
    if (c != '\n') {
        return WIRE_BAD;
    }
    keep_done(scan);
    return value_ended(scan) ? WIRE_DONE : WIRE_MORE;
}

/* Takes text up to `end`, within the limit of a line. */
static bool take_line(RespScan *scan, Slice in, size_t *at, char end, Slice *ret_text,
                      bool *ret_found)
{
    const char *start = in.data + *at;
    const char *stop = memchr(start, end, in.len - *at);
    size_t len = stop != NULL ? (size_t)(stop - start) : in.len - *at;
    if (len > RESP_LINE_MAX - scan->line_len_) {
        return false;
    }
    scan->line_len_ += (uint32_t)len;
    *ret_text = (Slice){start, len};
    *ret_found = stop != NULL;
    *at += len + (stop != NULL ? 1 : 0);
    return true;
}

static WireResult step_line(RespScan *scan, Slice in, size_t *at)
{
    Slice text;
    bool found;
    if (!take_line(scan, in, at, '\r', &text, &found)) {
        return WIRE_BAD;
    }
    keep(scan, text);
    if (found) {
        scan->state_ = AT_LINE_LF;
    }
    return WIRE_MORE;
}

static WireResult step_line_lf(RespScan *scan, Slice in, size_t *at)
{
    if (in.data[(*at)++] != '\n') {
        return WIRE_BAD;
    }
    keep_done(scan);
    return value_ended(scan) ? WIRE_DONE : WIRE_MORE;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Keeps the first word of an inline command: white space in front of it is skipped, and behind it
 * nothing is kept any more. */
static void keep_word(RespScan *scan, Slice text)
{
    for (size_t i = 0; i < text.len && !scan->kept_done_; i++) {
        if (!is_space(text.data[i])) {
            keep(scan, (Slice){text.data + i, 1});
        } else if (scan->kept_len > 0) {
            keep_done(scan);
        }
    }
}

static WireResult step_inline(RespScan *scan, Slice in, size_t *at)
{
    Slice text;
    bool found;
    if (!take_line(scan, in, at, '\n', &text, &found)) {
        return WIRE_BAD;
    }
    keep_word(scan, text);
    if (!found) {
        return WIRE_MORE;
    }
    scan->state_ = AT_TYPE;
    return WIRE_DONE;
}

static WireResult scan_step(RespScan *scan, Slice in, size_t *at)
{
    switch (scan->state_) {
    case AT_TYPE:
        return step_type(scan, in, at);
    case AT_NUMBER:
        return step_number(scan, in, at);
    case AT_NUMBER_LF:
        return step_number_lf(scan, in, at);
    case AT_BULK:
        return step_bulk(scan, in, at);
    case AT_BULK_CR:
    case AT_BULK_LF:
        return step_bulk_end(scan, in, at);
    case AT_LINE:
        return step_line(scan, in, at);
    case AT_LINE_LF:
        return step_line_lf(scan, in, at);
    default:
        return step_inline(scan, in, at);
    }
}

WireResult resp_scan(RespScan *scan, Slice in, size_t *ret_consumed)
{
    size_t at = 0;
    if (in.len > 0 && !scan->began_) {
        *scan = (RespScan){.requests = scan->requests, .began_ = true};
    }
    WireResult result = WIRE_MORE;
    while (result == WIRE_MORE && at < in.len) {
        result = scan_step(scan, in, &at);
    }
    if (result != WIRE_BAD) {
        *ret_consumed = at;
    }
    scan->began_ = result != WIRE_DONE && scan->began_;
    return result;
}
