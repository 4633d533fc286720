"""The run folder: its paths, seeds, predictions and log, written and read in one place.

Knows experiments and files, nothing of torch.
"""
