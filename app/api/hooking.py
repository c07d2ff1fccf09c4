"""What one API process knows of hooks: verifiers of the running configuration, and how many webhooks were refused and why.

Secrets are read when a hook is first used and again when its configuration changes. Refusals are counted here and brought
to the ledger every second, so that forged webhooks, however many, cost it next to nothing.
"""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from time import monotonic
from typing import Final

from app.api.errand import Errands
from app.api.problem import RETRY_AFTER_SECONDS, Kind, Problem
from app.api.verification import Reason, Verifier, verifier
from app.config.hook import HookConfig
from app.config.secrets import resolve
from app.errors import ConfigurationFault, LeadrelayError
from app.ledger import Database, refusal
from app.settings import secret_environment
from app.telemetry import Event, emit

FLUSH_SECONDS: Final = 1.0
TRY_AGAIN_SECONDS: Final = 5.0
"""How long a hook stays unusable before its secrets are looked for again."""


class Hooks:
    """The hooks of one installation as this process knows them; used from its event loop only."""

    def __init__(self, database: Database, errands: Errands) -> None:
        self._database = database
        self._errands = errands
        self._known: dict[str, tuple[HookConfig, Verifier]] = {}
        self._unusable: dict[str, tuple[HookConfig, float, str]] = {}
        self._refused: Counter[tuple[str, str]] = Counter()

    async def verifier(self, source: str, config: HookConfig) -> Verifier:
        """The verifier of a source's hook; raises `Problem` (503) that names the reference which cannot be read."""
        known = self._known.get(source)
        if known is not None and known[0] is config:
            return known[1]
        trouble = self._unusable.get(source)
        if trouble is None or trouble[0] is not config or trouble[1] <= monotonic():
            try:
                made = await self._errands.run(_made, config)
            except ConfigurationFault as fault:
                trouble = config, monotonic() + TRY_AGAIN_SECONDS, f"source {source}: {fault.reason}"
                self._note(source, trouble)
            else:
                self._known[source] = config, made
                self._unusable.pop(source, None)
                return made
        raise Problem(Kind.UNAVAILABLE, trouble[2], headers={"Retry-After": str(RETRY_AFTER_SECONDS)})

    def refuse(self, source: str, reason: Reason) -> None:
        """Count a webhook that was refused."""
        self._refused[source, reason.value] += 1

    async def bring_refusals(self) -> None:
        """Bring counts to the ledger for ever; what cannot be brought now is brought later."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            with suppress(LeadrelayError):
                await self.flush()

    async def flush(self) -> None:
        """Bring what was counted; raises `Unavailable`."""
        counts, self._refused = self._refused, Counter()
        if not counts:
            return
        try:
            await self._errands.run(refusal.add, self._database, counts)
        except BaseException:
            self._refused += counts
            raise

    def _note(self, source: str, trouble: tuple[HookConfig, float, str]) -> None:
        before = self._unusable.get(source)
        if before is None or before[2] != trouble[2]:
            emit(Event.HOOK_UNUSABLE, level=logging.ERROR, source=source, detail=trouble[2])
        self._unusable[source] = trouble


def _made(config: HookConfig) -> Verifier:
    return verifier(config, resolve(config.secrets, environ=secret_environment()))
