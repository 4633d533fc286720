"""Inputs of a training step: the samples, the order of an epoch, augmentation and Mixup.

Knows stores, image sets and the options of an experiment; nothing of the loop, the optimiser and the run folder.
"""
