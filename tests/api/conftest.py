"""One API for each module; tests keep apart by their leads."""

from collections.abc import Iterator

import pytest

from tests.api.harness import Api, running


@pytest.fixture(scope="module")
def api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A ready API over a ledger of the module's own."""
    with running(
        module_database_url, tmp_path_factory.mktemp("home"), max_body_bytes=4096, max_line_bytes=1024
    ) as found:
        yield found
