"""The command line and the composition root: the only folder that knows all others."""
