import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded.home import hold, keep, open_home, write_private
from app.errors import Conflict, InvalidConfig


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_home_is_made_private(tmp_path: Path) -> None:
    assert mode(open_home(tmp_path / "new" / "home")) == 0o700


def test_home_that_was_there_keeps_its_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o751)
    open_home(tmp_path)
    assert mode(tmp_path) == 0o751


def test_file_in_place_of_home_is_refused_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidConfig, match=r"LEADRELAY_HOME: .*set LEADRELAY_HOME to a folder of your own"):
        open_home(tmp_path / "file" / "home")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_home_of_another_user_is_refused_and_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    with pytest.raises(InvalidConfig, match="belongs to user id 12345, you are 0"):
        open_home(theirs)
    assert list(theirs.iterdir()) == []


def test_second_stack_is_told_who_has_the_home(tmp_path: Path) -> None:
    attempt = f"""
from pathlib import Path
from app.embedded.home import hold
with hold(Path({str(tmp_path)!r})): print("got it")
"""
    with hold(tmp_path):
        refused = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True, check=False)
    assert f"already runs in {tmp_path} (pid {os.getpid()})" in refused.stderr
    allowed = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True, check=False)
    assert allowed.stdout == "got it\n"


def test_lock_is_refused_within_the_process_too(tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(Conflict), hold(tmp_path):
        pass


def test_kept_secret_is_the_same_at_the_next_start(tmp_path: Path) -> None:
    first = keep(tmp_path, "flower_password")
    assert len(first) >= 20
    assert keep(tmp_path, "other", lambda: "made") == "made"
    assert keep(tmp_path, "flower_password") == first
    assert mode(tmp_path / "kept.json") == 0o600


def test_private_file_replaces_a_readable_one(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)
