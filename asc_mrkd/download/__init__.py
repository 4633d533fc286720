"""Published data sets: the catalogue of archives, their transfer and their unpacking.

Stands on the ground: it knows files and addresses, nothing of what is inside a data set.
"""
