"""`leadrelay up` with web servers of a few lines in place of the product's parts; run by test_stack.py.

Arguments: `ready CODE` ends the stack with that code once it is ready; `broken` has a part that cannot start.
"""

import sys
from collections.abc import Callable, Mapping, Sequence

from app.embedded.announcement import Stack
from app.embedded.parts import Part, addresses
from app.embedded.stack import up
from app.embedded.supervisor import Child
from app.errors import LeadrelayError
from app.settings import Settings

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def web_servers(settings: Settings) -> Sequence[Part]:
    return [
        Part(
            child=Child(name=f"web-{number}", argv=[sys.executable, "-c", SERVER, str(address.port)]),
            health=f"{address.url}/",
        )
        for number, address in enumerate(addresses(settings))
    ]


def broken(settings: Settings) -> Sequence[Part]:
    failing = Child(name="broken", argv=[sys.executable, "-c", "raise SystemExit(3)"])
    return [Part(child=failing, health=f"{addresses(settings)[0].url}/"), *web_servers(settings)[1:]]


def prepare(_settings: Settings) -> Mapping[str, str]:
    return {"api_key": "lr_test", "source": "website"}


def main(words: Sequence[str]) -> int:
    ready: Callable[[Stack], int] | None = None
    if words[:1] == ["ready"]:
        code = int(words[1])

        def ready(_stack: Stack) -> int:
            return code

    try:
        return up(Settings(), prepare=prepare, ready=ready, parts=broken if words[:1] == ["broken"] else web_servers)
    except LeadrelayError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  # a program
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
