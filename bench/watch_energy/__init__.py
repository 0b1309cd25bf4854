"""What the wrist pays for live figures: bytes, wake-ups, joules and errors, for each way of getting them.

Traces of meters go through the real fold and the real server to real clients, over real sockets; only time is
virtual, so that a day passes in minutes. Nothing here is a test.
"""
