"""What only RabbitMQ has: a limit to how often it hands out a message, and a dead-letter exchange for what is beyond."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from amqp import Channel
from amqp.basic_message import Message
from kombu.connection import Connection

from app.broker import dead_queue, declare, delivery_queue
from tests.tasks.conftest import await_that


@pytest.fixture
def channel(rabbitmq_url: str) -> Iterator[Channel]:
    with Connection(rabbitmq_url, transport_options={"confirm_publish": True}) as connection:
        yield connection.default_channel


def test_a_message_that_ends_every_worker_that_takes_it_is_put_among_the_dead_letters(channel: Channel) -> None:
    destination = f"buyer-{uuid4().hex[:8]}"
    waiting, dead = [
        declare(name, "amqp://")(channel) for name in (delivery_queue(destination), dead_queue(destination))
    ]
    waiting.declare()
    dead.declare()
    channel.basic_publish(Message("poison"), routing_key=waiting.name)
    handed_out = 0
    while (message := channel.basic_get(waiting.name)) is not None:
        handed_out += 1
        channel.basic_reject(message.delivery_tag, requeue=True)
    await_that(lambda: dead.queue_declare().message_count == 1, "it is among the dead letters", within=10)
    assert handed_out == 21, "one, and twenty more"
    waiting.delete()
    dead.delete()
