"""The worker process: its Celery app, boot steps and life cycle."""
