"""Measurements side by side with what one would use instead: `make bench`, or `python -m tests.benchmarks --help`.

`__main__` says what is measured and in which order; one module per figure; `stand.py` is the bench they all stand on.
Wall rates of a shared machine mean little by themselves: what counts is the ratio within one run and CPU per delivery.
"""
