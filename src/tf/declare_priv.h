/* What the declarations of blocks share: declare.c and declare_resource.c. */
#ifndef WEIR_TF_DECLARE_PRIV_H
#define WEIR_TF_DECLARE_PRIV_H

#include "tf/eval_priv.h"

/* In a schema: an argument of any type, which is looked at by whoever declares the block. */
#define META(text)                                                                                 \
    {                                                                                              \
        .name = (text), .type = TF_TYPE_ANY                                                        \
    }
#define META_REFUSED(text, why)                                                                    \
    {                                                                                              \
        .name = (text), .type = TF_TYPE_ANY, .refused = (why)                                      \
    }

/* A new node PREFIX.NAME. NULL after a report: declared twice, too many, or no name. */
Node *declare_node(Loader *loader, NodeKind kind, const char *prefix, Slice name, TfPos pos);
void declare_resource(Loader *loader, Block *block);

/* Arguments that refer to nothing, by name; one of another type is reported. */
bool body_flag(Loader *loader, const Body *body, const char *name, bool otherwise);
const char *body_text(Loader *loader, const Body *body, const char *name); /* NULL: not set */

#endif
