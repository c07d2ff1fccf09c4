"""Celery tasks: thin shells around the use cases in `app`.

A worker sets `deliverer` and `steward` on its Celery app before it consumes (see `workers.lifecycle`).
"""
