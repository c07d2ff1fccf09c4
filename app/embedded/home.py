"""The folder of an installation that runs its own servers: made privately, held by one stack at a time.

Everything in it is the user's alone (folders 0700, files 0600). The permissions of a folder that was there before are
never changed. Knows nothing of what is kept in it.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.embedded.process import read_pid
from app.errors import Complaint, Conflict, InvalidConfig

LOCK_FILE = "lock"
KEPT_FILE = "kept.json"


def open_home(path: Path) -> Path:
    """The absolute path of the home, made with mode 0700 if there is none.

    Raises `InvalidConfig` if it cannot be made, is not a folder, belongs to another user or cannot be written.
    """
    home = path.expanduser().absolute()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = home.stat().st_uid
    except OSError as error:
        raise _unusable(f"{home}: {error.strerror}") from error
    if owner != os.geteuid():
        raise _unusable(f"{home} belongs to user id {owner}, you are {os.geteuid()}")
    if not os.access(home, os.W_OK | os.X_OK):
        raise _unusable(f"{home} cannot be written")
    return home


@contextmanager
def hold(home: Path) -> Iterator[None]:
    """Keep every other stack out of this home; raises `Conflict` naming the process that has it.

    The lock ends with the process that holds it, however it ends (flock(2)).
    """
    path = home / LOCK_FILE
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"leadrelay already runs in {home} (pid {read_pid(path)}); "
                "stop it, or set LEADRELAY_HOME to another folder"
            ) from None
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def write_private(path: Path, content: str) -> None:
    """Write a file only the user can read, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    new.replace(path)


def keep(home: Path, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(18)) -> str:
    """A secret of this home under a name: made once, the same at every later start."""
    path = home / KEPT_FILE
    kept: Mapping[str, str] = json.loads(path.read_text()) if path.exists() else {}
    if name in kept:
        return kept[name]
    value = make()
    write_private(path, json.dumps({**kept, name: value}, indent=2) + "\n")
    return value


def _unusable(detail: str) -> InvalidConfig:
    remedy = "set LEADRELAY_HOME to a folder of your own, or run as its owner"
    return InvalidConfig([Complaint(field="LEADRELAY_HOME", detail=detail, remedy=remedy)])
