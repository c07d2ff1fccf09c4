"""The reference pages in docs/, written from the code they describe: `python -m app.cli.reference` (`make docs`).

Reading order: `__main__` (which page comes from what), `shape` (JSON Schema as rows), `command` and `route` (the two larger
pages), `markdown`. A tool of the repository; it needs no server. With `--check` nothing is written, and stale pages fail.
"""
