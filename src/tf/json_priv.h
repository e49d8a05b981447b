/* JSON as it was read: what json_read.c gives to json.c. */
#ifndef WEIR_TF_JSON_PRIV_H
#define WEIR_TF_JSON_PRIV_H

#include "tf/ast_priv.h"

typedef enum JsonKind {
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_LIST,
    JSON_OBJECT
} JsonKind;

typedef struct JsonNode {
    JsonKind kind;
    size_t offset;
    bool boolean;
    TfNumber number;
    Slice string;
    VEC(struct JsonMember) members; /* of a list without names */
} JsonNode;

typedef struct JsonMember {
    Slice name;
    size_t offset; /* of the name */
    const JsonNode *node;
} JsonMember;

typedef struct JsonReader {
    Arena *arena;
    Slice text;
    size_t at;
    int depth;
    const char *problem; /* of the first failure, at `at` */
} JsonReader;

/* The whole text; false with reader->problem at reader->at. */
NODISCARD bool json_read(JsonReader *reader, const JsonNode **ret_node);

#endif
