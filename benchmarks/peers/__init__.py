"""The libraries beside which Fourfold is set, a worker each.

A worker is run by `benchmarks/bench.py` as `python -m peers.NAME` in an environment of its own, made from
`requirements-….txt`. It reads one `Job` from standard input and writes one `Answer`: see `work.py`. To add a peer,
write a worker and its requirements, and name both in `harness/plan.py`.
"""
