/* file_type.h - a *file* as `_core.File` has it: all that a builder holds of the file system.
 *
 * A file has a descriptor, the lock that was taken with it, the claim that tells builders of this
 * process apart, and a name that is removed unless the file is kept. Each of these is taken and
 * given back in one step of C in which no Python code runs. So an interruption finds it either
 * owned by the object or not taken. When the object goes, it gives back what it still owns.
 *
 * A map works on a duplicate of the descriptor. From then on the file is *lent*: its own descriptor
 * is closed, and the map hands the duplicate back when it ends.
 *
 * No function here may be called from a signal handler. All of them need the GIL. */
#ifndef MMBPY_FILE_TYPE_H
#define MMBPY_FILE_TYPE_H

#include "state.h"

#include <stdatomic.h>
#include <sys/types.h>

typedef enum {
    MMBPY_FOUND,     /* the file was there before */
    MMBPY_MADE,      /* it was made under its path */
    MMBPY_TEMPORARY, /* it was made under a temporary name, and will be renamed to its path */
} mmbpy_origin;

typedef enum { MMBPY_FILE_OPEN, MMBPY_FILE_ENDING, MMBPY_FILE_ENDED } mmbpy_file_phase;

typedef struct mmbpy_file {
    PyObject_HEAD PyObject *weakrefs;
    mmbpy_state *state; /* state of the module that made the type; __new__ sets it once */

    /* __new__ sets these once. */
    PyObject *name; /* the name as the program gave it */
    char mode;      /* 'w', 'x' or 'r' */
    bool atomic; /* true: the temporary name stays until the end; false: until the file is mapped */
    uint64_t owner; /* mmb_this_process() of the process that made the object */

    /* One thread at a time changes these: first the one that opens the file, then the one that
     * moved `phase` to MMBPY_FILE_ENDING. */
    char *path;                /* absolute; NULL if the file was given as a descriptor */
    struct mmbpy_file *target; /* the file under `path` that will be replaced; or NULL */
    char *temporary;           /* the temporary name, while `origin` is MMBPY_TEMPORARY */
    mmbpy_origin origin;
    bool locked;
    bool shared; /* others may have the same lock */
    bool lent;
    dev_t device;
    ino_t inode;
    PyObject *claim; /* NULL, or (key, weak reference to this) in the table of claims */

    _Atomic int fd;    /* -1: none; an exchange takes it out, so that it is closed once */
    _Atomic int phase; /* a mmbpy_file_phase */
} mmbpy_file;

/* ---- for map_type.c and map_phase.c ------------------------------------------- */

/* Return the descriptor to map, borrowed; -1 if there is none. */
int mmbpy_file_descriptor(const mmbpy_file *self);

/* Return the name of the file as the program gave it, for error texts. Borrowed. */
PyObject *mmbpy_file_name(const mmbpy_file *self);

/* Return whether the file has content that is to be given up. */
bool mmbpy_file_is_emptied(const mmbpy_file *self);

/* Call this when the file is mapped and nothing else can fail. A file that replaces another one
 * takes its name now. Return 1; or 0 if it cannot take the name: then the file is the old one,
 * and the caller maps that instead; or -1 with an exception. */
int mmbpy_file_settle(mmbpy_file *self);

/* Note that the map works on a duplicate of the descriptor from now on. */
void mmbpy_file_lend(mmbpy_file *self);

/* Take the map's descriptor back; -1 if the program has closed it. */
void mmbpy_file_take_back(mmbpy_file *self, int fd);

/* Return true after the file was committed, kept or removed. */
bool mmbpy_file_has_ended(const mmbpy_file *self);

/* ---- among the files of `_core.File` --------------------------------------------- */

/* Return false in a forked child, which may only let go of the file. */
bool mmbpy_file_is_owner(const mmbpy_file *self);

/* Enter `self` under its device and inode. Return 1; or 0, and in *other the file that is in the
 * way, as a new reference; or -1 with an exception. (file_claim.c) */
int mmbpy_file_enter_claim(mmbpy_file *self, PyObject **other);
void mmbpy_file_drop_claim(mmbpy_file *self);

/* Unlock, close and forget the file. Its names stay. (file_end.c) */
void mmbpy_file_let_go(mmbpy_file *self);

/* Return whether the file is the one at `path`. */
bool mmbpy_file_is_at(const mmbpy_file *self, const char *path, bool follow);

/* Go on with the target, under the lock that it has. The new file is removed. */
void mmbpy_file_fall_back(mmbpy_file *self);

/* Give back what no ending has given back. The end of the object calls this. */
void mmbpy_file_give_back(mmbpy_file *self);

/* The methods that end a file. */
extern const char mmbpy_commit_doc[], mmbpy_keep_doc[], mmbpy_remove_doc[], mmbpy_roll_back_doc[];
PyObject *mmbpy_file_commit(PyObject *self, PyObject *args);
PyObject *mmbpy_file_keep(PyObject *self, PyObject *unused);
PyObject *mmbpy_file_remove(PyObject *self, PyObject *unused);
PyObject *mmbpy_file_roll_back(PyObject *self, PyObject *unused);

#endif
