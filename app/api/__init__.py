"""The HTTP door of leadrelay, the only place with `async`.

Reading order: `application` (what is put together), `submission` and `bulk` (leads in, thin ASGI without a framework),
`reading` and `operating` (FastAPI), `metrics`, `health`. Whatever goes wrong becomes a `problem`. No SQL, no decisions:
those are `app.intake`'s, `app.operations`' and `app.ledger`'s.
"""
