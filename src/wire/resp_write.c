/* RESP that Weir itself sends. */
#include "wire/wire.h"

void resp_put_header(Buf *out, char type, size_t count)
{
    buf_printf(out, "%c%zu\r\n", type, count);
}

void resp_put_bulk(Buf *out, Slice text)
{
    resp_put_header(out, '$', text.len);
    buf_append_slice(out, text);
    buf_append_str(out, "\r\n");
}

void resp_put_command(Buf *out, const Slice *args, size_t arg_count)
{
    resp_put_header(out, '*', arg_count);
    for (size_t i = 0; i < arg_count; i++) {
        resp_put_bulk(out, args[i]);
    }
}

static void put_line(Buf *out, char type, Slice text)
{
    buf_append_char(out, type);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        buf_append_char(out, c == '\r' || c == '\n' ? ' ' : c);
    }
    buf_append_str(out, "\r\n");
}

void resp_put_simple(Buf *out, Slice text)
{
    put_line(out, '+', text);
}

void resp_put_error(Buf *out, Slice text)
{
    put_line(out, '-', text);
}

void resp_put_integer(Buf *out, int64_t value)
{
    buf_printf(out, ":%lld\r\n", (long long)value);
}

void resp_put_null(Buf *out, int protocol)
{
    buf_append_str(out, protocol >= 3 ? "_\r\n" : "$-1\r\n");
}
