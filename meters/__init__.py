"""Sources of readings: a simulated community, and recorded data replayed.

What leaves this folder are readings on the bus, each stored once. It knows the bus alone: not
who folds the readings, nor who shows them.
"""
