"""Readings in; live state, settled intervals and alerts out.

A pure fold over the READINGS stream (its order, and time as the stream tells it) and a thin
service around it that does all input and output.
"""
