"""Files and folders that appear whole or not at all, and a lock on each."""

import contextlib
import errno
import fcntl
import os
import shutil
import time
import uuid

# What the names of unfinished files and folders begin with.
ASIDE = ".incomplete-"


@contextlib.contextmanager
def atomic_write(path):
    """Give a path to write to, and put it in place of `path` when the block ends well.

    A reader, or a process killed half-way, sees the old file or the new one, never half of one;
    and so does one after the machine went down. What is being written is locked.
    """
    aside = path.with_name(f"{ASIDE}{os.getpid()}-{path.name}")
    try:
        aside.touch()
        with locking(aside):
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


@contextlib.contextmanager
def temporary_folder(parent):
    """Give a new folder in `parent` to be filled, and renamed when it is whole.

    It is gone after the block unless it has another name by then. What a process that was killed
    has left of such folders is removed; one that is being filled is locked.
    """
    remove_left(parent.glob(f"{ASIDE}*/"))
    aside = parent / f"{ASIDE}{uuid.uuid4().hex}"
    aside.mkdir()
    try:
        with locking(aside):
            yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def atomic_folder(path):
    """Give a new folder to be filled, which takes the place of `path` if the block succeeds."""
    with temporary_folder(path.parent) as aside:
        yield aside
        sync_all(aside)
        with temporary_folder(path.parent) as old:
            if path.exists():
                path.rename(old / path.name)
            aside.rename(path)
        sync(path.parent)


def remove_left(paths):
    """Remove those unfinished files and folders that no process is writing any more."""
    for path in list(paths):
        with contextlib.suppress(FileNotFoundError), locking(path, shared=True) as is_left:
            if is_left and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif is_left:
                path.unlink()


def sync_all(folder):
    """Have the disk hold a folder with all that is in it."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def sync(path):
    """Have the disk hold what was written to a file, or a folder's list of files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locking(path, shared=False):
    """Lock a file or folder until the block or the process ends.

    Args:
        path: The file or folder.
        shared: Whether others may hold such a lock at the same time.

    Yields:
        Whether it could be had: a shared one at once, the other within a second, lest it fail
        because someone asks just now whether it is held.
    """
    descriptor = os.open(path, os.O_RDONLY)
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
