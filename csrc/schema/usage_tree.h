/* usage_tree.h - the tree of paths of a usage. Private to csrc/schema.
 *
 * A *node* is a path with what was counted so far. The nodes of structs and groups are *scopes*: a
 * scope has a child for each field, made when the first such struct is met. Whether a number is
 * there depends on how many words the data section has. So a scope counts its structs by that size,
 * and the numbers get their bits at the end.
 *
 * Nodes are referred to by number, since the array moves when it grows. 0 is the root. No node has
 * the root as its child, so 0 also stands for no node. */
#ifndef MMB_USAGE_TREE_H
#define MMB_USAGE_TREE_H

#include "plan.h"
#include "usage_path.h"

typedef struct {
    mmb_path_kind kind;
    uint32_t parent;
    uint32_t field;  /* number of a field in the plan, or MMB_NONE */
    uint32_t type;   /* number of a type in the plan; MMB_NONE: no type is known */
    uint32_t record; /* of a scope: number of the struct in the plan; else MMB_NONE */
    /* If the node is a struct within one of the same type: the outer node, which counts it. Else
     * MMB_NONE. */
    uint32_t same_as;
    uint32_t elements; /* the child of a list */
    uint32_t other;    /* the child of a scope for other bytes */
    uint32_t tag;      /* the child of a scope for the tag */
    uint32_t *fields;  /* owned; of a scope: its children in the order of the plan */
    /* Owned; of a struct: the node of each pointer; 0 if it depends on a union or belongs to no
     * field. */
    uint32_t *slots;
    /* Owned; of a struct, or a group in a union: how many have so many words of data; the last
     * number counts all longer ones. */
    uint64_t *present;
    bool varies; /* it has a union somewhere inside */
    bool folded; /* its children have no room, so all in it is counted here */
    uint64_t count, bits, pointers, text, padding_bits, far;
    uint64_t section_bits; /* of a struct: bits of its data sections that the schema knows */
} mmb__node;

typedef struct {
    const mmb_plan *plan; /* or NULL */
    mmb__node *nodes;     /* owned */
    uint32_t count, room;
} mmb__tree;

/* mmb__tree_start makes a tree with a root; mmb__tree_free frees it. Errors: ENOMEM. */
int mmb__tree_start(mmb__tree *tree, const mmb_plan *plan);
void mmb__tree_free(mmb__tree *tree);

/* mmb__tree_open makes the children of a struct. `*scope` becomes the node that counts the
 * struct, or the node itself, folded. The other functions return a child, which they make if it
 * is not there, or the node itself if the tree is full. Errors: ENOMEM. */
int mmb__tree_open(mmb__tree *tree, uint32_t node, uint32_t *scope);
int mmb__tree_elements(mmb__tree *tree, uint32_t node, uint32_t *child);
int mmb__tree_other(mmb__tree *tree, uint32_t node, uint32_t *child);

/* Store in `slots` the node of each of the first `count` pointers of a struct or group that does
 * not depend on a union. */
void mmb__tree_set_slots(const mmb__tree *tree, uint32_t scope, uint32_t *slots, uint32_t count);

/* The data section of one struct. */
typedef struct {
    const unsigned char *data;
    uint32_t words;
} mmb__record_data;

/* Look at the unions of one struct and of its groups. Count the numbers of the active members,
 * and store the nodes of their pointers in `slots`, which has the nodes of the first `count`
 * pointers. */
void mmb__tree_count_unions(mmb__tree *tree, uint32_t scope, const mmb__record_data *record,
                            uint32_t *slots, uint32_t count);

/* Store all nodes as paths, with their numbers in bytes. */
void mmb__tree_paths(const mmb__tree *tree, mmb_usage_path *out);

static inline bool mmb__is_in_union(const mmb_plan_field *field)
{
    return field->tag != MMB_NONE;
}

#endif
