"""Benchmarks: each prints ratios against a baseline measured in the same run. None of them is a test."""
