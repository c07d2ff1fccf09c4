"""The sandbox process: five stand-ins, their witness and a page, on one event loop and two ports.

May know all of `app.sandbox`, of the product only errors. Whoever starts it says where to listen; nothing is kept on disk.
"""

import asyncio
import socket
from contextlib import suppress

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from app.errors import Unavailable
from app.sandbox import buyer, hubspot_answer, salesforce, subscriber
from app.sandbox.buyer import Buyer
from app.sandbox.control import control
from app.sandbox.door import Door, Wire
from app.sandbox.faults import Faults
from app.sandbox.hubspot import HubSpot
from app.sandbox.receipts import Receipts
from app.sandbox.salesforce import Salesforce
from app.sandbox.smtp import MailSink
from app.sandbox.subscriber import Subscriber


class Sandbox:
    """All state of one sandbox, and the ASGI application in front of it."""

    def __init__(self) -> None:
        faults, receipts = Faults(), Receipts()
        lead_buyer, crm, contacts = Buyer(faults, receipts), Salesforce(faults, receipts), HubSpot(faults, receipts)
        partner = Subscriber(faults, receipts)
        self.mail = MailSink(faults, receipts)
        self._control = control(faults, receipts, self.mail, crm.login, forgetful=(lead_buyer, crm, contacts, partner))
        to_salesforce = Door("salesforce", crm.app, refuse=salesforce.refuse, faults=faults, receipts=receipts)
        self._doors = {
            "buyer": Door("buyer", lead_buyer, refuse=buyer.refuse, faults=faults, receipts=receipts),
            "hubspot": Door("hubspot", contacts.app, refuse=hubspot_answer.refuse, faults=faults, receipts=receipts),
            "salesforce": to_salesforce,
            "subscriber": Door("subscriber", partner, refuse=subscriber.refuse, faults=faults, receipts=receipts),
            # Salesforce's instance URLs have no path, and clients (simple-salesforce) keep only their host.
            "services": to_salesforce,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request to its stand-in, or to the sandbox's own page and API."""
        first = scope["path"].split("/", 2)[1]
        await self._doors.get(first, self._control)(scope, receive, send)


class Server:
    """A sandbox that listens from construction on, so that early clients wait instead of being refused.

    Ports of 0 are chosen freely; `port` and `smtp_port` say which. Raises `Unavailable` if one is taken.
    """

    def __init__(self, host: str, port: int, smtp_port: int) -> None:
        self._web = _listen(host, port, "LEADRELAY_SANDBOX_PORT")
        self._mail = _listen(host, smtp_port, "LEADRELAY_SANDBOX_SMTP_PORT")
        self.port: int = self._web.getsockname()[1]
        self.smtp_port: int = self._mail.getsockname()[1]
        self._sandbox = Sandbox()
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                self._sandbox,
                http=Wire,
                ws="none",
                lifespan="off",
                access_log=False,
                log_level="warning",
                timeout_keep_alive=60,
                timeout_graceful_shutdown=1,  # a request that hangs on purpose would hold the exit for ever
            )
        )

    def run(self) -> None:
        """Serve until `stop` or, in the main thread, SIGINT or SIGTERM."""
        with self._web, self._mail, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run())

    def stop(self) -> None:
        """Ask `run` to return soon; may be called from any thread."""
        self._uvicorn.should_exit = True

    async def _run(self) -> None:
        async with await asyncio.get_running_loop().create_server(self._sandbox.mail.protocol, sock=self._mail):
            await self._uvicorn.serve(sockets=[self._web])


def serve(host: str, port: int, smtp_port: int) -> None:
    """Serve HTTP and SMTP until SIGINT or SIGTERM; raises `Unavailable` if a port is taken."""
    with suppress(KeyboardInterrupt):
        Server(host, port, smtp_port).run()


def _listen(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise Unavailable(f"the sandbox cannot listen on {host}:{port}: {error.strerror}; set {setting}") from error
