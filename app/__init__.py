"""leadrelay: takes inbound leads and delivers each one to every destination it is routed to.

Reading order: `model` (the values), `delivery` (what a worker does), `dispatch` (what may go now), `ledger` (the truth),
`connectors.base` and one connector, then `intake` and the edges (`api`, `cli`, `embedded`).
"""
