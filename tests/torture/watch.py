# SPDX-License-Identifier: MIT
"""Changes in folders as they happen (Linux's inotify), so that a kill can come in the middle of a write."""

import ctypes
import os
import select
import struct

CREATE, MODIFY, CLOSED, MOVED = 0x100, 0x2, 0x8, 0x80
IS_FOLDER = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
HEAD = struct.Struct("iIII")


class Watch:
    """Watches a folder and those that appear inside it."""

    def __init__(self, folder):
        self.descriptor = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self.folders = {}
        self.add(os.fspath(folder))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.descriptor)

    def add(self, folder):
        number = LIBC.inotify_add_watch(self.descriptor, os.fsencode(folder), CREATE | MODIFY | CLOSED | MOVED)
        if number < 0:
            return []  # gone already
        self.folders[number] = folder
        found = []
        for entry in os.scandir(folder):
            found.append(os.path.join(folder, entry.name))
            if entry.is_dir(follow_symlinks=False):
                found += self.add(entry.path)
        return found

    def changes(self, seconds):
        """Paths of files that were created, written, closed or renamed, waiting so long for the first."""
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return []
        content, found, at = os.read(self.descriptor, 1 << 16), [], 0
        while at < len(content):
            number, mask, _, length = HEAD.unpack_from(content, at)
            at += HEAD.size
            name = content[at:at + length].rstrip(b"\0").decode(errors="replace")
            at += length
            path = os.path.join(self.folders.get(number, ""), name)
            found.append(path)
            if mask & IS_FOLDER and mask & (CREATE | MOVED):
                found += self.add(path)
        return found
