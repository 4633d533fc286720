"""The attack on the toolkit, see tools/torture.sh: each file holds attacks of one kind.

An attack knows in advance what is right: the bytes of an undisturbed run, or an error of the toolkit itself.
"""
