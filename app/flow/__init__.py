"""How much of a destination may go, decided from numbers: the pure half of the dispatcher.

`Flow` joins the parts for one destination. Each part gives a bound, and the least of them counts: `pace` (what it was seen
to finish), `rate` (sends in a time), `volume` (successes in a day and a month), `schedule` (opening hours), `adaptive` (what it
stands), `ramp` (after an outage); `share` divides what may go among sources and classes. Nothing here does I/O or reads a clock.
"""
