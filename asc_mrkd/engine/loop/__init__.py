"""The loop of one seed: its steps, what happens when one is not finite, its checkpoints, its processes and signals.

Knows experiments, samples and methods; of a run folder only the checkpoints of a seed.
"""
