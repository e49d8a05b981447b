/*
 * Texts that were read lately, and what they do: applications send the same few again and again.
 * A slot belongs to one text in one dialect, and is found by a hash of the text; that it is the
 * same the text itself decides, never the hash. Each text has two slots to choose from. One that is
 * asked for often is not driven out by many that come once, as texts with numbers in them do.
 */
#include "sql/words_priv.h"

#define WAYS       ((size_t)2)
#define CREDIT_MAX 7 /* so many other texts pass by before a slot changes hands */
#define HASH_PRIME ((uint64_t)0x9e3779b97f4a7c15)

typedef struct MemoSlot {
    uint64_t hash; /* of text and dialect */
    uint64_t generation;
    TextEffects effects; /* touches nothing */
    char *text;          /* NULL: the slot is free */
    uint32_t len;
    uint8_t traits;
    uint8_t credit;
} MemoSlot;

struct SqlMemo {
    MemoSlot slots[SQL_MEMO_TEXTS];
};

SqlMemo *sql_memo_new(void)
{
    return mem_alloc(sizeof(SqlMemo));
}

void sql_memo_free(SqlMemo *memo)
{
    for (size_t i = 0; memo != NULL && i < SQL_MEMO_TEXTS; i++) {
        mem_free(memo->slots[i].text);
    }
    mem_free(memo);
}

/* Everything of a dialect but its names. */
static uint8_t traits_of(const SqlDialect *dialect)
{
    return (uint8_t)(dialect->backslash_strings | dialect->unsafe_encoding << 1 |
                     dialect->baseline_set << 2 | dialect->wants_reads << 3);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * HASH_PRIME;
    return hash ^ hash >> 32;
}

static uint64_t hash_of(Slice text, uint8_t traits, uint64_t generation)
{
    uint64_t hash = mix(mix(text.len, traits), generation);
    uint64_t eight;
    size_t at = 0;
    for (; at + sizeof(eight) <= text.len; at += sizeof(eight)) {
        memcpy(&eight, text.data + at, sizeof(eight));
        hash = mix(hash, eight);
    }
    for (eight = 0; at < text.len; at++) {
        eight = eight << 8 | (uint8_t)text.data[at];
    }
    return mix(hash, eight);
}

static bool slot_is(const MemoSlot *slot, const MemoSlot *key, Slice text)
{
    return slot->hash == key->hash && slot->text != NULL && slot->len == key->len &&
           slot->traits == key->traits && slot->generation == key->generation &&
           memcmp(slot->text, text.data, text.len) == 0;
}

/* The slot that a new text may have; NULL: none yet. */
static MemoSlot *slot_for(MemoSlot *set)
{
    MemoSlot *poorest = &set[0];
    for (size_t i = 1; i < WAYS; i++) {
        poorest = set[i].credit < poorest->credit ? &set[i] : poorest;
    }
    if (poorest->credit > 0) {
        poorest->credit--;
        return NULL;
    }
    return poorest;
}

static TextEffects scan_whole(SqlDialect dialect, Slice text, SqlScan *scan)
{
    sql_scan_begin(scan, dialect);
    sql_scan_feed(scan, text);
    sql_scan_end(scan);
    return sql_scan_effects(scan);
}

TextEffects sql_memo_effects(SqlMemo *memo, SqlDialect dialect, Slice text, SqlScan *scan)
{
    const char *nul = text.len > 0 ? memchr(text.data, '\0', text.len) : NULL;
    text.len = nul != NULL ? (size_t)(nul - text.data) : text.len;
    if (memo == NULL || text.len == 0 || text.len > SQL_MEMO_TEXT_MAX) {
        return scan_whole(dialect, text, scan);
    }
    MemoSlot key = {.generation = sql_names_generation(&dialect),
                    .len = (uint32_t)text.len,
                    .traits = traits_of(&dialect)};
    key.hash = hash_of(text, key.traits, key.generation);
    MemoSlot *set = &memo->slots[key.hash % (SQL_MEMO_TEXTS / WAYS) * WAYS];
    for (size_t i = 0; i < WAYS; i++) {
        if (slot_is(&set[i], &key, text)) {
            set[i].credit = CREDIT_MAX;
            return set[i].effects;
        }
    }
    key.effects = scan_whole(dialect, text, scan);
    MemoSlot *slot = key.effects.touched.len == 0 ? slot_for(set) : NULL;
    if (slot != NULL) {
        key.text = mem_realloc(slot->text, text.len);
        memcpy(key.text, text.data, text.len);
        key.effects.touched = (Slice){0};
        *slot = key;
    }
    return key.effects;
}
