# SPDX-License-Identifier: MIT
"""A file system of a few hundred kilobytes, where mounting is allowed: as root, or in a user's own name space.
It is seen by this process and its children alone and goes with them, however they end."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
PAGE = 4096
MNT_DETACH = 2


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def own_mounts():
    """From here on mounts are this process's own. Throws OSError where that is not allowed."""
    user, group = os.geteuid(), os.getegid()
    check(LIBC.unshare(CLONE_NEWNS if user == 0 else CLONE_NEWNS | CLONE_NEWUSER))
    if user != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
                stream.write(text)
    check(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))


class SmallDisk:
    """A tmpfs in a folder, which may be filled."""

    def __init__(self, folder, size):
        self.folder, self.filler = os.fspath(folder), os.path.join(os.fspath(folder), "filler")
        os.makedirs(self.folder, exist_ok=True)
        check(LIBC.mount(b"tmpfs", os.fsencode(self.folder), b"tmpfs", 0, f"size={size}".encode()))

    def fill(self, pages=0):
        """Leaves so many pages; a file takes them whole."""
        state = os.statvfs(self.folder)
        count = state.f_bavail * state.f_frsize - pages * PAGE
        with open(self.filler, "ab", buffering=0) as stream:
            try:
                os.posix_fallocate(stream.fileno(), os.fstat(stream.fileno()).st_size, max(count, PAGE))
            except OSError:
                pass  # the run took some meanwhile: what is left is as good as full
            self.to_the_brim(stream, pages)

    @staticmethod
    def to_the_brim(stream, pages):
        if pages:
            return
        try:
            stream.seek(0, os.SEEK_END)
            while stream.write(b"\0" * PAGE):
                pass
        except OSError:
            pass

    def free(self):
        """Makes room again."""
        os.unlink(self.filler)

    def unmount(self):
        LIBC.umount2(os.fsencode(self.folder), MNT_DETACH)
