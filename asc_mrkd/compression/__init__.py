"""Smaller networks out of trained ones: prune, decompose, quantise, fit a budget.

Knows runs, networks and budgets.
"""
