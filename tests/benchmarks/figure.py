"""What a measurement gives: samples of ours and of a rival, and the figure they make with its goal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table. Samples come in pairs: the rival's was taken right beside ours.

    `goal` bounds the ratio ours / other where there is an `other`, else ours: from below, or from above if `at_most`.
    Without a goal the figure is only told. `details` are figures beside, by name. `skipped` says why there are no samples.
    """

    name: str
    unit: str = ""
    ours: Sequence[float] = ()
    other: Sequence[float] = ()
    rival: str = ""
    goal: float | None = None
    at_most: bool = False
    details: Mapping[str, float] = field(default_factory=dict)
    skipped: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours / other of each pair; empty without a rival."""
        return [ours / other for ours, other in zip(self.ours, self.other, strict=True)] if self.other else []

    @property
    def met(self) -> bool | None:
        """Whether the goal is met by the median; None without a goal or samples."""
        if self.goal is None or self.skipped:
            return None
        value = median(self.ratios or self.ours)
        return value <= self.goal if self.at_most else value >= self.goal


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What a measure gives that this machine has no means for."""

    reason: str
