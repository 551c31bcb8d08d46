/* file_type.h - a *file* as `_core.File` has it: all that a builder holds of the file system.
 *
 * That is a descriptor, the lock that was taken with it, the claim that tells builders of
 * this process apart, and a name that is to be removed unless the file is kept. Each is taken
 * and given back in one step of C, in which no Python code runs: an interruption finds it
 * owned by the object, or not taken. What is owned when the object goes is given back.
 *
 * A map works on a duplicate of the descriptor. From then on the file is *lent*: its own
 * descriptor is closed, and the map hands its duplicate back when it ends.
 *
 * Nothing here may be called from a signal handler, and all of it wants the GIL. */
#ifndef MMBPY_FILE_TYPE_H
#define MMBPY_FILE_TYPE_H

#include "state.h"

#include <stdatomic.h>
#include <sys/types.h>

typedef enum {
    MMBPY_FOUND,     /* the file was there before */
    MMBPY_MADE,      /* made under its path */
    MMBPY_TEMPORARY, /* made under a temporary name, to be renamed to its path */
} mmbpy_origin;

typedef enum { MMBPY_FILE_OPEN, MMBPY_FILE_ENDING, MMBPY_FILE_ENDED } mmbpy_file_phase;

typedef struct mmbpy_file {
    PyObject_HEAD PyObject *weakrefs;
    mmbpy_state *state; /* of the module that made the type; set once by __new__ */

    /* Set once by __new__: */
    PyObject *name; /* as the program gave it */
    char mode;      /* 'w', 'x' or 'r' */
    bool atomic;    /* a temporary name is kept until the end, not until the file is mapped */
    uint64_t owner; /* mmb_this_process() of the one that made the object */

    /* Changed by one thread at a time: the one that opens the file, then the one that moved
     * `phase` to MMBPY_FILE_ENDING. */
    char *path;                /* absolute; NULL if the file was given as a descriptor */
    struct mmbpy_file *target; /* NULL, or what stands under `path` and is to be replaced */
    char *temporary;           /* its name while `origin` is MMBPY_TEMPORARY */
    mmbpy_origin origin;
    bool locked;
    bool shared; /* the lock is one that others may have as well */
    bool lent;
    dev_t device;
    ino_t inode;
    PyObject *claim; /* NULL, or (key, weak reference to this) in the table of claims */

    _Atomic int fd;    /* -1: none; taken out by an exchange, so that it is closed once */
    _Atomic int phase; /* a mmbpy_file_phase */
} mmbpy_file;

/* ---- for map_type.c and map_phase.c ------------------------------------------- */

/* The descriptor to map; -1 if there is none. Borrowed. */
int mmbpy_file_descriptor(const mmbpy_file *self);

/* The file as the program gave it, for error texts. Borrowed. */
PyObject *mmbpy_file_name(const mmbpy_file *self);

/* Whether the file has content that is to be given up. */
bool mmbpy_file_is_emptied(const mmbpy_file *self);

/* To be called when the file is mapped, and nothing else can fail. A file that replaces
 * another one takes its name now. 1; 0 if the name cannot be taken: the file is now the old
 * one, which is to be mapped instead; -1 with an exception. */
int mmbpy_file_settle(mmbpy_file *self);

/* The map works on a duplicate of the descriptor from now on. */
void mmbpy_file_lend(mmbpy_file *self);

/* The map's descriptor comes back, or -1 if the program has closed it. */
void mmbpy_file_take_back(mmbpy_file *self, int fd);

/* True once the file was committed, kept or removed. */
bool mmbpy_file_has_ended(const mmbpy_file *self);

/* ---- among the files of `_core.File` --------------------------------------------- */

/* False in a forked child, which only lets go. */
bool mmbpy_file_is_owner(const mmbpy_file *self);

/* Enter `self` under its device and inode. 1; or 0 and who is in the way in *other, a new
 * reference; or -1 with an exception. (file_claim.c) */
int mmbpy_file_enter_claim(mmbpy_file *self, PyObject **other);
void mmbpy_file_drop_claim(mmbpy_file *self);

/* Unlock, close, forget: whatever names there are stay. (file_end.c) */
void mmbpy_file_let_go(mmbpy_file *self);

/* Whether the file is what stands at `path`. */
bool mmbpy_file_is_at(const mmbpy_file *self, const char *path, bool follow);

/* Go on with the target, under the lock that it has; nothing is left of the new file. */
void mmbpy_file_fall_back(mmbpy_file *self);

/* For the end of the object: give back what no ending has given back. */
void mmbpy_file_give_back(mmbpy_file *self);

/* The endings, as methods. */
extern const char mmbpy_commit_doc[], mmbpy_keep_doc[], mmbpy_remove_doc[], mmbpy_roll_back_doc[];
PyObject *mmbpy_file_commit(PyObject *self, PyObject *args);
PyObject *mmbpy_file_keep(PyObject *self, PyObject *unused);
PyObject *mmbpy_file_remove(PyObject *self, PyObject *unused);
PyObject *mmbpy_file_roll_back(PyObject *self, PyObject *unused);

#endif
