"""Atomic writes of files and folders, and locks on both."""

import contextlib
import errno
import fcntl
import os
import shutil
import time
import uuid

# Prefix of the names of unfinished files and folders.
ASIDE = ".incomplete-"


@contextlib.contextmanager
def atomic_write(path):
    """Yield a temporary path to write to, and rename it to `path` if the block succeeds.

    Readers always see the whole old file or the whole new one, even if this process is killed or
    the machine goes down. The temporary file is locked until it is renamed.
    """
    temporary = path.with_name(f"{ASIDE}{os.getpid()}-{path.name}")
    try:
        temporary.touch()
        with locking(temporary):
            yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        # Errors of the writing libraries may lack the path or the system's reason.
        reason = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, reason, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(parent):
    """Yield a new locked folder in `parent`, for the caller to fill and to rename.

    The folder is removed after the block unless it has been renamed. Folders that killed processes
    have left behind are removed, too.
    """
    remove_left(parent.glob(f"{ASIDE}*/"))
    temporary = parent / f"{ASIDE}{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        with locking(temporary):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def atomic_folder(path):
    """Yield a new folder to fill, which replaces `path` if the block succeeds."""
    with temporary_folder(path.parent) as temporary:
        yield temporary
        sync_all(temporary)
        with temporary_folder(path.parent) as old:
            if path.exists():
                path.rename(old / path.name)
            temporary.rename(path)
        sync(path.parent)


def remove_left(paths):
    """Remove unfinished files and folders that killed processes have left behind."""
    for path in list(paths):
        with contextlib.suppress(FileNotFoundError), locking(path, shared=True) as is_unused:
            if is_unused and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif is_unused:
                path.unlink()


def sync_all(folder):
    """Flush a folder and everything in it to the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def sync(path):
    """Flush a file, or the list of files of a folder, to the disk."""
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
        shared: Whether other processes may hold a shared lock at the same time.

    Yields:
        Whether the lock was acquired. An exclusive lock retries for a second, because other
        processes take a shared lock for a moment to test whether the exclusive one is held.
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
