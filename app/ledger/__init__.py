"""The truth: every lead, delivery, attempt and state, in PostgreSQL, and the only SQL of these tables.

One module per group of statements: `acceptance` (leads in), `dispatch` (what may go now), `work` (claim and record), `circuit`
(open, close and free), `operation` (what people do), `query` (what people read), `version` (configuration), `key` (API keys),
`rollup` (figures), `token` (access tokens that workers share). All take a `Database`, or a `Connection` within one's
transaction; none knows Celery, HTTP or a connector.
"""

from app.ledger.database import Database, LedgerError
from app.ledger.migration import migrate

__all__ = ["Database", "LedgerError", "migrate"]
