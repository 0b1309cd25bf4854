"""What a delivery costs: beside other servers (run), beside plain Strawberry (small), and over time (soak)."""
