"""Brokers as an installation may have them: Redis behind TLS or sentinels, and a RabbitMQ node of the test's own."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis

from tests.conftest import lacking
from tests.embedded.harness import free_ports, wait_until

SENTINEL_PASSWORD = "asked-by-sentinels"
REDIS_PASSWORD = "asked-by-redis"
MASTER = "leads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A self-made certificate for localhost and 127.0.0.1, and its key: PEM files."""

    file: Path
    key: Path


def certificate(folder: Path, name: str = "server") -> Certificate:
    made = Certificate(file=folder / f"{name}.crt", key=folder / f"{name}.key")
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(made.key), "-out", str(made.file)]
    subprocess.run(["openssl", "req", *kind, *names, *files], check=True, capture_output=True)
    made.key.chmod(0o644)
    return made


@contextmanager
def process(argv: Sequence[str], log: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A server in a process group of its own for as long as the block lasts."""
    with log.open("ab") as output:
        found = subprocess.Popen(argv, stdout=output, stderr=output, process_group=0, env={**os.environ, **environment})
    try:
        yield found
    finally:
        with suppress(ProcessLookupError):
            os.killpg(found.pid, signal.SIGKILL)
        found.wait()


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _redis(folder: Path, port: int, tls: Certificate | None, *options: str) -> list[str]:
    program = shutil.which("redis-server") or lacking("redis-server")
    where = ["--port", str(port)]
    if tls:
        files = ["--tls-cert-file", str(tls.file), "--tls-key-file", str(tls.key), "--tls-ca-cert-file", str(tls.file)]
        where = ["--port", "0", "--tls-port", str(port), *files, "--tls-auth-clients", "no", "--tls-replication", "yes"]
    return [program, *where, "--bind", "127.0.0.1", "127.0.0.2", "--dir", str(folder), "--save", "", *options]


@contextmanager
def redis_behind_tls(folder: Path, tls: Certificate) -> Iterator[int]:
    """A Redis that takes TLS only; its port."""
    [port] = free_ports(1)
    with process(_redis(folder, port, tls), folder / "redis.log"):
        wait_until(lambda: answers(port), "Redis answers")
        yield port


@dataclass(kw_only=True)
class Guarded:
    """A master, its replica and three sentinels that watch them."""

    sentinels: list[int]
    ports: list[int]
    tls: Certificate | None
    processes: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return ";".join(f"sentinel://:{REDIS_PASSWORD}@127.0.0.1:{port}/0" for port in self.sentinels)

    def master(self) -> int:
        """The port of the master, as the sentinels say."""
        with self._ask(self.sentinels[0]) as sentinel:
            return int(sentinel.sentinel_masters()[MASTER]["port"])

    def seen(self) -> bool:
        """Whether every sentinel knows the replica and the other sentinels."""
        for port in self.sentinels:
            with suppress(redis.ConnectionError), self._ask(port) as sentinel:
                state = sentinel.sentinel_masters()[MASTER]
                if state["num-slaves"] == 1 and state["num-other-sentinels"] == 2:
                    continue
            return False
        return True

    def replicating(self) -> bool:
        with suppress(redis.ConnectionError), self._ask(self.ports[0], REDIS_PASSWORD) as master:
            return master.info("replication")["connected_slaves"] == 1
        return False

    def _ask(self, port: int, password: str | None = None) -> "redis.Redis[str]":
        tls = {"ssl": True, "ssl_ca_certs": str(self.tls.file)} if self.tls else {}
        password = password or (SENTINEL_PASSWORD if self.tls else None)
        return redis.Redis(port=port, password=password, decode_responses=True, **tls)


@contextmanager
def guarded_redis(folder: Path, tls: Certificate | None = None) -> Iterator[Guarded]:
    """Redis behind sentinels; with a certificate, all of it behind TLS and the sentinels behind a password too."""
    *sentinels, first, second = free_ports(5)
    found = Guarded(sentinels=sentinels, ports=[first, second], tls=tls)
    secrets = ["--requirepass", REDIS_PASSWORD, "--masterauth", REDIS_PASSWORD]
    with ExitStack() as stack:
        for port, role in ((first, []), (second, ["--replicaof", "127.0.0.1", str(first)])):
            argv = _redis(folder, port, tls, *secrets, *role)
            found.processes[port] = stack.enter_context(process(argv, folder / "redis.log"))
        wait_until(found.replicating, "the replica follows the master")
        for port in sentinels:
            config = folder / f"sentinel-{port}.conf"
            config.write_text(
                f"sentinel monitor {MASTER} 127.0.0.1 {first} 2\nsentinel auth-pass {MASTER} {REDIS_PASSWORD}\n"
                f"sentinel down-after-milliseconds {MASTER} 500\nsentinel failover-timeout {MASTER} 2000\n"
                + (f"requirepass {SENTINEL_PASSWORD}\nsentinel sentinel-pass {SENTINEL_PASSWORD}\n" if tls else "")
            )
            program, *options = _redis(folder, port, tls)
            argv = [program, str(config), "--sentinel", *(one for one in options if one not in {"--save", ""})]
            stack.enter_context(process(argv, folder / "sentinel.log"))
        wait_until(found.seen, "the sentinels know each other and the replica")
        yield found


@dataclass(kw_only=True)
class RabbitNode:
    """A RabbitMQ node of the test's own, with a plain and a TLS listener."""

    folder: Path
    tls: Certificate
    port: int
    tls_port: int
    dist_port: int
    group: int = 0

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """It stands still for as long as the block lasts: its connections are open, and nobody answers."""
        os.killpg(self.group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.group, signal.SIGCONT)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The node for as long as the block lasts; its queues survive in the folder."""
        program = next(Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server"), None)
        if program is None or os.geteuid() != 0:
            lacking("a RabbitMQ node of the test's own")
        config = self.folder / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlisteners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"listeners.ssl.2 = 127.0.0.2:{self.tls_port}\n"
            f"ssl_options.certfile = {self.tls.file}\nssl_options.keyfile = {self.tls.key}\n"
            f"ssl_options.cacertfile = {self.tls.file}\nssl_options.verify = verify_none\n"
        )
        environment = {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"leadrelay-test-{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
        }
        with process([str(program)], self.folder / "rabbitmq.log", **environment) as found:
            self.group = found.pid
            wait_until(lambda: answers(self.tls_port), "RabbitMQ answers", within_seconds=60)
            yield
