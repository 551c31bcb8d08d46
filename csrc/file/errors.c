/* errors.c - the texts and errnos of error values. */
#include "mmb_file.h"

#include <errno.h>
#include <string.h>

const char *mmb_strerror(int error)
{
    switch (error) {
    case MMB_ETRUNCATED:
        return "file was truncated by someone else while it was being built";
    case MMB_ECAPACITY:
        return "capacity exceeded";
    case MMB_EAPPENDS:
        return "file was set to append (O_APPEND) while it was being built";
    case ESTALE:
        return "stored after the process that opened the file had closed it";
    default:
        return strerror(error);
    }
}

int mmb_errno(int error)
{
    switch (error) {
    case MMB_ETRUNCATED:
        return EIO;
    case MMB_ECAPACITY:
        return EFBIG;
    case MMB_EAPPENDS:
        return EINVAL;
    default:
        return error;
    }
}
