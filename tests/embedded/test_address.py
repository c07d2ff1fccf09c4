import http.server
import socket
import threading

import pytest

from app.embedded.address import Address, answers, check_free
from app.errors import Conflict


def address(port: int, host: str = "127.0.0.1", name: str = "API") -> Address:
    return Address(host=host, port=port, host_setting=f"LEADRELAY_{name}_HOST", port_setting=f"LEADRELAY_{name}_PORT")


def test_taken_port_is_named_with_its_setting_and_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        expected = rf"^port {port} \(LEADRELAY_API_PORT\) is taken; stop what uses it or set LEADRELAY_API_PORT$"
        with pytest.raises(Conflict, match=expected):
            check_free([address(port)])


def test_free_ports_are_free_afterwards() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    check_free([address(port)])
    check_free([address(port)])


def test_two_settings_with_the_same_port_are_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    with pytest.raises(Conflict, match="LEADRELAY_FLOWER_PORT"):
        check_free([address(port), address(port, name="FLOWER")])


def test_host_of_another_machine_is_said_by_its_setting() -> None:
    with pytest.raises(Conflict, match=r"cannot listen on 192\.0\.2\.1 \(LEADRELAY_API_HOST\)"):
        check_free([address(8000, host="192.0.2.1")])


def test_address_of_every_interface_is_opened_on_this_machine() -> None:
    assert address(8000, host="0.0.0.0").url == "http://127.0.0.1:8000"
    assert address(8000, host="::").url == "http://[::1]:8000"


def test_only_200_counts_as_an_answer() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/readyz" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert answers(f"{url}/readyz")
        assert not answers(f"{url}/livez")
        server.shutdown()
    assert not answers(f"{url}/readyz")
