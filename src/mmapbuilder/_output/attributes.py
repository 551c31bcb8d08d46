"""Owner, permissions and extended attributes of a file that another one replaces."""

import errno
import os
import stat

_ACL = "system.posix_acl_access"
_LABEL = "user.mmapbuilder"  # of a file that is growing
_OURS = (_LABEL, "user.mmapbuilder.lost")
_GAINS_RIGHTS = stat.S_ISUID | stat.S_ISGID


def keep_attributes(old: int, status: os.stat_result, new: int) -> None:
    """Give `new` what `old`, whose status is `status`, has, as far as that is allowed.

    `new` was made for its owner alone, and opened to others here, last of all: a user who may
    not open `old` cannot open it either. If the file gets another owner or group, it gets no
    set-user-ID or set-group-ID bit with it, and another group has no more rights than
    everybody. File capabilities are never kept; of the extended attributes, those that
    programs set (``user.``), and the access control list.
    """
    same_owner, same_group = _keep_owner(status, new)
    mode = stat.S_IMODE(status.st_mode)
    if not (same_owner and same_group):
        mode &= ~_GAINS_RIGHTS
    if not (_keep_extended(old, new, same_group) and same_group):
        others = mode & stat.S_IRWXO
        mode = (mode & ~stat.S_IRWXG) | (others << 3)
    os.fchmod(new, mode)


def _keep_owner(status: os.stat_result, new: int) -> "tuple[bool, bool]":
    made = os.fstat(new)
    if (made.st_uid, made.st_gid) == (status.st_uid, status.st_gid):
        return True, True
    try:
        os.fchown(new, status.st_uid, status.st_gid)
    except OSError:
        try:
            os.fchown(new, -1, status.st_gid)
        except OSError:
            pass
        made = os.fstat(new)
        return made.st_uid == status.st_uid, made.st_gid == status.st_gid
    return True, True


def _keep_extended(old: int, new: int, with_acl: bool) -> bool:
    """Return whether the permission bits are enough: false if an ACL could not be kept."""
    if not hasattr(os, "listxattr"):
        return True
    try:
        names = os.listxattr(old)
    except OSError:
        return True  # there are none on this file system
    complete = True
    if _ACL not in names:
        _remove_inherited_acl(new)
    for name in names:
        if name == _ACL and not with_acl:
            complete = False
        elif name == _ACL or (name.startswith("user.") and name not in _OURS):
            try:
                os.setxattr(new, name, os.getxattr(old, name))
            except OSError:
                complete = complete and name != _ACL
    if not complete:
        _remove_inherited_acl(new)
    return complete


def _remove_inherited_acl(new: int) -> None:
    """Take away what a default list of the directory gives to every new file."""
    try:
        os.removexattr(new, _ACL)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL):
            raise


def keep_label(old: int, new: int) -> None:
    """Let the copy tell, as the file itself does, that it was left by a builder that died."""
    if hasattr(os, "getxattr"):
        try:
            os.setxattr(new, _LABEL, os.getxattr(old, _LABEL))
        except OSError:
            pass  # it has none, as nearly all
