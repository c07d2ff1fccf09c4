"""What a seed means: how much is submitted, when the fault strikes, how long it lasts. Pure.

The same seed and scenario always draw the same plan, whichever scenarios run beside it.
"""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One scenario's numbers. Leads come in waves; the fault strikes once `strike_after` of them were received."""

    leads: int
    waves: int
    pause_seconds: float
    workers: int
    latency_seconds: float
    strike_after: int
    fault_seconds: float
    reject_rate: float
    debug: bool
    dice: int

    @property
    def wave(self) -> int:
        """Leads of one wave."""
        return self.leads // self.waves

    def random(self) -> Random:
        """Dice for what a scenario decides on its way."""
        return Random(self.dice)


def plan(seed: int, scenario: str) -> Plan:
    """The plan that a seed gives a scenario."""
    dice = Random(f"{seed}:{scenario}")
    waves = dice.randint(3, 6)
    leads = waves * dice.randint(10, 30)
    return Plan(
        leads=leads,
        waves=waves,
        pause_seconds=dice.uniform(0.05, 0.4),
        workers=dice.randint(2, 3),
        latency_seconds=dice.choice([0.02, 0.05, 0.1]),
        strike_after=dice.randint(3, leads // 3),
        fault_seconds=dice.uniform(1.0, 5.0),
        reject_rate=dice.choice([0.0, 0.0, 0.2]),
        debug=dice.random() < 0.3,
        dice=dice.getrandbits(32),
    )
