"""Node-RED as a rival: installed from npm into build/ once, run with one flow.

HTTP in, HTTP request out over kept connections, HTTP response: the producer waits for the destination, and nothing is
kept. No editor, no other nodes.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.figure import Missing
from tests.benchmarks.process import TREE, Process, await_that, free_port, listens
from tests.benchmarks.stand import Bench

HOME = TREE / "build" / "node-red"
PROGRAM = HOME / "node_modules" / "node-red" / "red.js"
WANTED = "node-red@^4.1"
_INSTALL_SECONDS = 180.0
_SETTINGS = """module.exports = {
    httpAdminRoot: false, httpNodeRoot: "/", flowFile: "flows.json", credentialSecret: false,
    diagnostics: { enabled: false }, telemetry: { enabled: false }, logging: { console: { level: "warn" } }
}
"""


def obstacle() -> Missing | None:
    """Why Node-RED cannot be run here, or None; installs it the first time."""
    if PROGRAM.exists():
        return None
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return Missing(reason=f"{program} is not on this machine")
    HOME.mkdir(parents=True, exist_ok=True)
    argv = ["npm", "install", "--prefix", str(HOME), "--no-audit", "--no-fund", "--ignore-scripts", WANTED]
    try:
        done = subprocess.run(argv, cwd=HOME, check=False, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        return Missing(reason=f"npm install took more than {_INSTALL_SECONDS:.0f} s")
    if done.returncode or not PROGRAM.exists():
        return Missing(reason=f"npm install {WANTED} failed: {done.stderr.strip()[-200:]}")
    return None


@contextmanager
def running(bench: Bench) -> Iterator[tuple[Process, str]]:
    """Node-RED with the flow, and the address that takes leads."""
    home = bench.folder / "node-red"
    home.mkdir(exist_ok=True)
    settings, port = _written(home / "settings.js", _SETTINGS), free_port()
    _written(home / "flows.json", json.dumps(_flow(f"{bench.sink.url}/leads")))
    argv = [str(PROGRAM), "--userDir", str(home), "--port", str(port), "--settings", str(settings)]
    with bench.rival("node-red", *argv, program=shutil.which("node") or "node") as process:
        await_that(lambda: listens(port), "Node-RED listens")
        yield process, f"http://127.0.0.1:{port}/leads"


def _flow(url: str) -> list[dict[str, object]]:
    return [
        {"id": "flow", "type": "tab", "label": "leads"},
        {"id": "in", "z": "flow", "type": "http in", "url": "/leads", "method": "post", "wires": [["keep"]]},
        # What came in with the request must not leave with it, least of all its Host and Content-Length.
        {
            "id": "keep",
            "z": "flow",
            "type": "change",
            "rules": [{"t": "delete", "p": "headers", "pt": "msg"}],
            "wires": [["out"]],
        },
        {
            "id": "out",
            "z": "flow",
            "type": "http request",
            "method": "POST",
            "url": url,
            "ret": "obj",
            "persist": True,
            "wires": [["answer"]],
        },
        {"id": "answer", "z": "flow", "type": "http response", "statusCode": "202", "headers": {}, "wires": []},
    ]


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
