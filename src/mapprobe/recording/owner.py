"""Who owns the files of a recording, and who may read them. No pyarrow."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
"""Only the owner may read a recording: call stacks, type names and sizes tell much about a program."""


def create_file(path: Path) -> None:
    """Make an empty file that only its owner may read; a file or a link that stands there already is not followed.

    Raises
    ------
    OSError
        If there is one, or none can be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    os.close(os.open(path, flags, FILE_MODE))
    give_to_user(path)


def give_to_user(path: Path) -> None:
    """Give a new file or folder to the user who called sudo: `sudo mapprobe record`, then `mapprobe report`."""
    user, group = (os.environ.get(name, "") for name in ("SUDO_UID", "SUDO_GID"))
    if os.geteuid() == 0 and user.isdecimal() and group.isdecimal():
        with suppress(OSError):  # a file system without owners: root keeps it
            os.chown(path, int(user), int(group), follow_symlinks=False)
