"""The whole stack on one machine with nothing installed but Python: what `leadrelay up` runs.

Reading order: `stack` (the order of things), `supervisor` (children and their end), `postgres` and `valkey` (the two
servers), `place` (where PostgreSQL may live, also as root), then `home`, `process`, `bound`, `journal`, `banner`.
"""
