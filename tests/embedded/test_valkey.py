import socket
import subprocess
from pathlib import Path

import pytest
import redis
from kombu.connection import Connection

from app.embedded.journal import Journal
from app.embedded.valkey import Valkey
from tests.embedded.harness import serving, wait_until


def test_values_survive_a_restart_at_the_same_address(home: Path, journal: Journal) -> None:
    server = Valkey(home)
    with serving(server, journal) as cold, redis.Redis.from_url(server.url) as client:
        client.set("kept", "value")
        assert client.config_get("append*") == {
            **client.config_get("append*"),
            "appendonly": "yes",
            "appendfsync": "everysec",
        }
    again = Valkey(home)
    with serving(again, journal) as warm, redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"value"
    assert again.url == server.url
    print(f"Valkey: cold start {cold:.2f} s, warm {warm:.2f} s")  # noqa: T201  # a measurement


def test_kombu_takes_the_address(home: Path, journal: Journal) -> None:
    server = Valkey(home)
    with serving(server, journal), Connection(server.url) as connection:
        queue = connection.SimpleQueue("wake")
        queue.put({"ids": [1]})
        assert queue.get(timeout=5).payload == {"ids": [1]}
        queue.close()


def test_password_is_required_and_not_on_the_command_line(home: Path, journal: Journal) -> None:
    server = Valkey(home)
    with serving(server, journal):
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(server.url.replace(server.url.split("@")[0], "redis://")).ping()
        assert server.url.split("@")[0].rpartition(":")[2] not in " ".join(server.command())


def test_server_left_running_is_replaced(home: Path, journal: Journal) -> None:
    server = Valkey(home)
    with serving(server, journal), redis.Redis.from_url(server.url) as client:
        client.set("kept", "value")
    orphan = subprocess.Popen(server.command(), stdout=subprocess.DEVNULL)
    try:
        wait_until(server.is_ready, "the orphan answers")
        with serving(server, journal), redis.Redis.from_url(server.url) as client:
            assert orphan.wait(1) == 0
            assert client.get("kept") == b"value"
    finally:
        orphan.kill()
        orphan.wait()


def test_pid_file_that_names_a_stranger_harms_nobody(home: Path, journal: Journal) -> None:
    server = Valkey(home)
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    (home / "valkey" / "valkey.pid").write_text(f"{stranger.pid}\n")
    try:
        with serving(server, journal):
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_another_port_is_taken_when_somebody_has_the_last_one(home: Path, journal: Journal) -> None:
    server = Valkey(home)
    with serving(server, journal):
        port = int(server.url.rpartition(":")[2].split("/")[0])
    with socket.create_server(("127.0.0.1", port)), serving(server, journal):
        assert f":{port}/" not in server.url
