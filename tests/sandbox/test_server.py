"""The process: it says what it is, listens where told, stops at once, and is an independent witness."""

import ast
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

import app.sandbox
from app.errors import Unavailable
from app.sandbox import Running, running

PACKAGE = Path(app.sandbox.__file__).parent
ALLOWED = {"app.settings", "app.errors", "app.model"}


def test_page_is_self_contained_and_says_it_is_a_stand_in(sandbox: Running) -> None:
    answer = requests.get(f"{sandbox.url}/", timeout=5)
    assert "stand-ins, not the vendors' software" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    markup = answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in markup
    assert "https://" not in markup


def test_openapi_says_what_is_a_stand_in(sandbox: Running) -> None:
    document = requests.get(f"{sandbox.url}/openapi.json", timeout=5).json()
    assert "not the vendors' software" in document["info"]["description"]
    assert "/api/faults/{target}" in document["paths"]


def test_health_is_told_and_unknown_paths_are_404(sandbox: Running) -> None:
    assert requests.get(f"{sandbox.url}/healthz", timeout=5).json() == {"status": "ok"}
    assert requests.get(f"{sandbox.url}/nothing", timeout=5).status_code == 404


def test_taken_port_is_said_clearly(sandbox: Running) -> None:
    with (
        pytest.raises(Unavailable, match=f"127.0.0.1:{sandbox.port}.*LEADRELAY_SANDBOX_PORT"),
        running(port=sandbox.port),
    ):
        pass


def test_sandboxes_know_nothing_of_each_other(sandbox: Running) -> None:
    with running() as other:
        requests.put(f"{other.url}/api/faults/buyer", json={"error_rate": 1}, timeout=5).raise_for_status()
        assert requests.get(f"{sandbox.url}/api/faults", timeout=5).json()["buyer"]["error_rate"] == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(other.url, timeout=5)


def test_process_stops_on_sigterm_even_while_a_request_hangs() -> None:
    code = (
        "from app.sandbox.server import Server\n"
        "server = Server('127.0.0.1', 0, 0)\n"
        "print(server.port, flush=True)\n"
        "server.run()\n"
    )
    root = PACKAGE.parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        url = f"http://127.0.0.1:{port}"
        requests.put(f"{url}/api/faults/buyer", json={"hang_rate": 1}, timeout=10).raise_for_status()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as waiting:
            waiting.sendall(b"GET /buyer/leads HTTP/1.1\r\nHost: x\r\n\r\n")
            while requests.get(f"{url}/api/summary", timeout=5).json()["buyer"]["faults"] == 0:
                pass
            child.send_signal(signal.SIGTERM)
            assert child.wait(5) in {0, -signal.SIGTERM}


def test_sandbox_imports_nothing_of_the_product_it_witnesses() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = {name for name in names if name.split(".")[0] in {"app", "tasks", "workers"}}
            assert all(name in ALLOWED or name.startswith("app.sandbox") for name in ours), f"{path.name}: {ours}"
