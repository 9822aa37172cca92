"""Classifiers whose secret is known, and what `findings` and simpler methods say of them.

1. ``python -m benchmarks.planted train --data FOLDER --out .planted``
2. ``python -m benchmarks.planted run --out .planted --bank BANK --half development``
3. ``python -m benchmarks.planted table --out .planted --half development``

`definitions` says what is planted in each of 24 clean and 44 planted classifiers of 43 traffic
signs; it was fixed before anything was tuned on it. Half of the kinds are for tuning, the sealed
half is run once. `plant` paints, `training` trains, `strength` measures on real test images whether
a secret took, `match` says which finding counts as right, `methods` runs `findings` and the
baselines, `outcomes` and `table` count. All of it can be killed and started again.

What each takes stands with the tables, in ``docs/planted.md``.

Needs ``pip install adversarial-robustness-toolbox``: patches of a shape, blended pictures, single
pixels and corner patterns are painted by it.
"""
