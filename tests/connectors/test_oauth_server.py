"""OAuth 2.0 against a server that others wrote: npm's oauth2-mock-server, installed into build/ the first time."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from app.config.schema import LimitsConfig
from app.connectors._http.connector import HttpConnector
from app.connectors._http.settings import HttpSettings
from app.model import Fault, Item, Result
from tests.connectors import fault_server
from tests.connectors.fault_server import LOCAL, FaultServer, Received, answer
from tests.connectors.token_endpoint import number, verified

WANTED = "oauth2-mock-server@7.2.0"
HOME = Path(__file__).parents[2] / "build" / "oauth2-mock-server"
PROGRAM = HOME / "node_modules" / ".bin" / "oauth2-mock-server"
_INSTALL_SECONDS = 30


@pytest.fixture(scope="module")
def program() -> Path:
    if not PROGRAM.exists():
        for name in ("node", "npm"):
            if shutil.which(name) is None:
                pytest.skip(f"{name} is needed to run {WANTED}")
        HOME.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(HOME), "--no-audit", "--no-fund", "--ignore-scripts", WANTED]
        try:
            subprocess.run(command, cwd=HOME, check=True, capture_output=True, timeout=_INSTALL_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            pytest.skip(f"there is no registry to install {WANTED} from")
    return PROGRAM


@pytest.fixture(scope="module")
def issuer(program: Path) -> Iterator[str]:
    """Address of the server."""
    with subprocess.Popen([program, "-a", "127.0.0.1", "-p", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = None
        while found is None and (line := process.stdout.readline()):
            found = re.search(r"listening on (http://127\.0\.0\.1:\d+)", line)
        assert found, "it did not start"
        yield found[1]
        process.terminate()


@pytest.fixture
def api(issuer: str) -> Iterator[FaultServer]:
    """Takes leads under a token that the issuer has signed and that has not ended."""
    [known] = requests.get(f"{issuer}/jwks", timeout=5).json()["keys"]
    key = rsa.RSAPublicNumbers(number(known["e"]), number(known["n"])).public_key()

    def behave(connection: socket.socket, request: Received) -> bool:
        kind, _, token = request.headers["authorization"].partition(" ")
        header, claims = verified(token, key)
        opens = claims["scope"] in {"leads", "dummy"}  # the latter is what a refresh token gets there
        good = (kind, header["kid"]) == ("Bearer", known["kid"]) and opens
        return answer(200 if good else 401)(connection, request)

    with fault_server.running(behave) as server:
        yield server


@pytest.fixture
def connect(issuer: str, api: FaultServer) -> Iterator[Any]:
    made: list[HttpConnector] = []

    def make(**auth: Any) -> HttpConnector:
        oauth2 = {"token_url": f"{issuer}/token", "client_id": "relay", "client_secret": "s", **auth}
        settings = HttpSettings.model_validate({"url": f"{api.url}/leads", "auth": {"oauth2": oauth2}})
        limits = LimitsConfig(concurrency=4, timeout_seconds=5)
        made.append(HttpConnector("buyer", settings, limits=limits, network=LOCAL))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


def item() -> Item:
    return Item(payload={}, key="k", attempt=1, deadline=monotonic() + 5)


@pytest.mark.parametrize(
    "auth",
    [{"scope": "leads"}, {"scope": "leads", "client_auth": "body"}, {"grant": "refresh_token", "refresh_token": "r"}],
    ids=["client_credentials", "in the body", "refresh_token"],
)
def test_its_tokens_open_the_api(connect: Any, auth: Any) -> None:
    sender = connect(**auth)
    assert [sender.deliver(item()).result for _ in range(3)] == [Result.SUCCESS] * 3


def test_a_token_with_another_scope_does_not(connect: Any) -> None:
    assert connect(scope="other").deliver(item()).fault is Fault.CONFIGURATION
