"""Stand-in destinations with faults on demand: Salesforce, HubSpot, a lead buyer, a mail server and a subscriber of webhooks.

Not the vendors' software: small servers that follow the vendors' documents, for demos, tests and integrators. As an
independent witness of what was delivered, the sandbox imports nothing of the product but its settings, errors and model.
"""

from app.sandbox.process import Running, running

__all__ = ["Running", "running"]
