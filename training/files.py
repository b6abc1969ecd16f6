"""Files that appear whole or not at all, and a lock on a folder."""

import contextlib
import errno
import fcntl
import os
import time

# What the names of unfinished files and folders begin with.
ASIDE = ".incomplete-"


@contextlib.contextmanager
def replacing(path):
    """Give a path to write to, and put it in place of `path` when the block ends well.

    A reader, or a process killed half-way, sees the old file or the new one, never half of one;
    and so does one after the machine went down.
    """
    aside = path.with_name(f"{ASIDE}{os.getpid()}-{path.name}")
    try:
        yield aside
        sync(aside)
        os.replace(aside, path)
        sync(path.parent)
    except OSError as error:
        # The libraries that write do not always say where, nor why in the system's words.
        what = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, what, str(path)) from error
    finally:
        aside.unlink(missing_ok=True)


def sync(path):
    """Have the disk hold what was written to a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locking(folder, shared=False):
    """Lock a folder until the block or the process ends.

    Args:
        folder: The folder.
        shared: Whether others may hold such a lock at the same time.

    Yields:
        Whether it could be had: a shared one at once, the other within a second, lest it fail
        because someone asks just now whether it is held.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        kind, attempts = (fcntl.LOCK_SH, 1) if shared else (fcntl.LOCK_EX, 10)
        yield _lock(descriptor, kind, attempts)
    finally:
        os.close(descriptor)


def _lock(descriptor, kind, attempts):
    for attempt in range(attempts):
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.1 if attempt + 1 < attempts else 0)
    return False
