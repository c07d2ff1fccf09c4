"""What the tests do to a broker behind the fleet's back: one handle each for Valkey and for RabbitMQ."""

import shutil
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import redis
from amqp import Channel, NotFound
from amqp.basic_message import Message
from kombu.connection import Connection


class Broker(Protocol):
    """A broker under test."""

    url: str

    def wipe(self, queues: Collection[str]) -> None:
        """Lose every message; RabbitMQ loses these queues with them."""

    def length(self, queue: str) -> int:
        """Messages that wait in a queue."""

    def messages(self, queue: str) -> list[bytes]:
        """The messages that wait in a queue, as they lie there; they stay."""

    def double(self, queue: str) -> None:
        """Put two copies beside every message of a queue."""

    def close(self) -> None:
        """Let go of the server."""


class ValkeyBroker:
    """Queues are lists of Valkey or Redis."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = redis.Redis.from_url(url)

    def wipe(self, queues: Collection[str]) -> None:  # noqa: ARG002  # it loses all of them
        self._client.flushall()

    def length(self, queue: str) -> int:
        return self._client.llen(queue)

    def messages(self, queue: str) -> list[bytes]:
        return self._client.lrange(queue, 0, -1)

    def double(self, queue: str) -> None:
        for message in self.messages(queue):
            self._client.lpush(queue, message, message)

    def close(self) -> None:
        self._client.close()


class RabbitBroker:
    """Queues are quorum queues of RabbitMQ."""

    def __init__(self, url: str) -> None:
        self.url = url

    def wipe(self, queues: Collection[str]) -> None:
        with self._channel() as channel:
            for queue in queues:
                channel.queue_delete(queue)

    def length(self, queue: str) -> int:
        with self._channel() as channel:
            try:
                return int(channel.queue_declare(queue, passive=True).message_count)
            except NotFound:
                return 0

    def messages(self, queue: str) -> list[bytes]:
        with self._channel() as channel:
            return [
                f"{message.properties} {message.headers} {message.body}".encode()
                for message in _waiting(channel, queue)
            ]

    def double(self, queue: str) -> None:
        with self._channel() as channel:
            for message in _waiting(channel, queue):
                for _ in range(2):
                    channel.basic_publish(Message(message.body, **message.properties), routing_key=queue)

    def close(self) -> None:
        pass

    @contextmanager
    def _channel(self) -> Iterator[Channel]:
        """A channel for once: what it took and did not acknowledge goes back to its queue."""
        with Connection(self.url, transport_options={"confirm_publish": True}) as connection:
            yield connection.default_channel


def _waiting(channel: Channel, queue: str) -> Iterator[Any]:
    messages = []
    while (message := channel.basic_get(queue)) is not None:
        messages.append(message)
    return iter(messages)


@contextmanager
def own_vhost(url: str) -> Iterator[str]:
    """The address of a virtual host for as long as the block lasts; without the right to make one, the given address."""
    program, parts = shutil.which("rabbitmqctl"), urlsplit(url)
    name = f"leadrelay-test-{uuid4().hex[:8]}"
    adding = program and subprocess.run([program, "-q", "add_vhost", name], check=False, capture_output=True)
    if not program or not adding or adding.returncode != 0:
        yield url
        return
    try:
        permissions = [program, "-q", "set_permissions", "-p", name, parts.username or "guest", ".*", ".*", ".*"]
        subprocess.run(permissions, check=True, capture_output=True)
        yield urlunsplit(parts._replace(path=f"/{name}"))
    finally:
        subprocess.run([program, "-q", "delete_vhost", name], check=True, capture_output=True)
