"""The training engine: samples, batch keys, augmentation, the loop, checkpoints, data parallelism.

Knows experiments, data, networks and methods by name; nothing of scores, tables and pages.
"""
