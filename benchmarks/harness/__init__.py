"""What `benchmarks/bench.py` is made of: plan, environments, runs, judgement, table and plot."""
