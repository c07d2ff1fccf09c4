"""The command line: `leadrelay`, for producers, integrators and operators.

Reading order: `main` (every command's name and where its code is), `session` (settings and ledger), `output` (data to
stdout, words to stderr), then one module per command or group of commands. No SQL, no decisions: those are
`app.intake`'s, `app.operations`' and `app.ledger`'s.
"""
