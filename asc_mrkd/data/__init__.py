"""Data sets: official layouts, built-in scenes, checks, and the batches that training sees."""
