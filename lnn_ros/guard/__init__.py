"""Everything between the network's wish and the command: see docs/explanation/safety.md."""
