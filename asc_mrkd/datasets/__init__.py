"""Data sets: official layouts, image sets, built-in scenes and pictures, and the data check.

Knows files and tables of clips, nothing of training.
"""
