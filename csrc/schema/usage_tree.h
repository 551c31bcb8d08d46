/* usage_tree.h - the tree of paths of a usage. Private to csrc/schema.
 *
 * A *node* is a path with what was counted so far. Nodes of structs and groups are *scopes*:
 * they have a child for each field, made when the first such struct is met. Whether a number is
 * there depends on how many words the data section has, so a scope counts its structs by that,
 * and the numbers get their bits at the end.
 *
 * Nodes are referred to by number, since the array moves as it grows; 0 is the root's, which is
 * nobody's child, and stands for none.
 */
#ifndef MMB_USAGE_TREE_H
#define MMB_USAGE_TREE_H

#include "plan.h"
#include "usage_path.h"

typedef struct {
    mmb_path_kind kind;
    uint32_t parent;
    uint32_t field;    /* number in the plan, or MMB_NONE */
    uint32_t type;     /* number in the plan; MMB_NONE: nothing is known */
    uint32_t record;   /* of a scope: number of the struct in the plan; else MMB_NONE */
    uint32_t same_as;  /* of a struct within itself: the outer node, which counts it; MMB_NONE */
    uint32_t elements; /* child of a list */
    uint32_t other;    /* child of a scope */
    uint32_t tag;      /* likewise */
    uint32_t *fields;  /* owned, of a scope: its children, in the order of the plan */
    uint32_t *slots;   /* owned, of a struct: the node of each pointer; 0 for those whose node
                        * depends on a union, or that no field has */
    uint64_t *present; /* owned, of a struct or a group in a union: how many have so many data
                        * words; all longer ones are in the last number */
    bool varies;       /* there is a union in it */
    bool folded;       /* there is no room for its children: all in it is counted here */
    uint64_t count, bits, pointers, text, padding_bits, far;
    uint64_t section_bits; /* of a struct: bits of data sections that the schema knows */
} mmb__node;

typedef struct {
    const mmb_plan *plan; /* or NULL */
    mmb__node *nodes;     /* owned */
    uint32_t count, room;
} mmb__tree;

/* A tree with a root. Errors: ENOMEM. */
int mmb__tree_start(mmb__tree *tree, const mmb_plan *plan);
void mmb__tree_free(mmb__tree *tree);

/* Get the children of a struct ready; `*scope` is the node that counts it, or the node itself,
 * folded. The others give a child, made if need be, or the node itself if there are too many.
 * Errors: ENOMEM. */
int mmb__tree_open(mmb__tree *tree, uint32_t node, uint32_t *scope);
int mmb__tree_elements(mmb__tree *tree, uint32_t node, uint32_t *child);
int mmb__tree_other(mmb__tree *tree, uint32_t node, uint32_t *child);

/* The data section of one struct. */
typedef struct {
    const unsigned char *data;
    uint32_t words;
} mmb__record_data;

/* Look at the unions of one struct, and of its groups: count what their active members have in
 * the data section, and let `slots`, the nodes of its first `count` pointers, know theirs. */
void mmb__tree_count_unions(mmb__tree *tree, uint32_t scope, const mmb__record_data *record,
                            uint32_t *slots, uint32_t count);

/* All nodes as paths, in bytes. */
void mmb__tree_paths(const mmb__tree *tree, mmb_usage_path *out);

static inline bool mmb__is_in_union(const mmb_plan_field *field)
{
    return field->tag != MMB_NONE;
}

#endif
