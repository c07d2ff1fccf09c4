"""Deliveries that were dispatched and came back without having been sent, counted for the dispatcher.

It sees only how many are under way: without this count, what was called back or handed back would look as if it had been sent.
The count is written by the statement that takes a delivery back, and by that alone: after a crash both are there, or neither.
What comes back otherwise counts as sent, which errs on the safe side of a rate.
"""


def counting_unsent(update: bytes) -> bytes:
    """A statement that makes deliveries `d` ready again without an attempt; with the count, it tells how many they were."""
    return (
        b"with back as ("
        + update
        + b"""
    returning d.destination
), noted as (
    insert into destination_status as known (destination, unsent)
    select destination, count(*) from back group by destination order by destination
    on conflict (destination) do update set unsent = known.unsent + excluded.unsent
)
select count(*) from back
"""
    )
