/* Lists of the settings that texts touch: see sql.h. */
#include "sql/sql.h"

bool setting_is_custom(Slice name)
{
    return memchr(name.data, '.', name.len) != NULL;
}

bool touched_next(Slice *touched, Touch *ret_touch, Slice *ret_name)
{
    if (touched->len == 0) {
        return false;
    }
    *ret_touch = (Touch)touched->data[0];
    *touched = slice_skip(*touched, 1);
    *ret_name = slice_cut(touched, '\0');
    return true;
}

static bool touched_has(Slice touched, Touch touch, Slice name)
{
    Touch other;
    Slice other_name;
    while (touched_next(&touched, &other, &other_name)) {
        if (other == touch && slice_eq(other_name, name)) {
            return true;
        }
    }
    return false;
}

bool touched_add(Buf *touched, Slice more)
{
    Touch touch;
    Slice name;
    while (touched_next(&more, &touch, &name)) {
        if (touched_has(buf_slice(touched), touch, name)) {
            continue;
        }
        if (touched->len + name.len + 2 > TOUCHED_BYTES_MAX) {
            return false;
        }
        buf_append_char(touched, (char)touch);
        buf_append_slice(touched, name);
        buf_append_char(touched, '\0');
    }
    return true;
}

bool touched_lasts(Slice touched)
{
    Touch touch;
    Slice name;
    while (touched_next(&touched, &touch, &name)) {
        if (touch != TOUCH_LOCAL) {
            return true;
        }
    }
    return false;
}

bool touched_custom(Slice touched)
{
    Touch touch;
    Slice name;
    while (touched_next(&touched, &touch, &name)) {
        if (setting_is_custom(name) && !slice_is(name, SQL_TOKEN_NAME)) {
            return true;
        }
    }
    return false;
}

bool touched_reading(Slice touched)
{
    Touch touch;
    Slice name;
    while (touched_next(&touched, &touch, &name)) {
        if (touch == TOUCH_ALL || slice_is(name, "client_encoding") ||
            slice_is(name, "standard_conforming_strings")) {
            return true;
        }
    }
    return false;
}
