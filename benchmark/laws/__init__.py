"""What benchmark/cells.py measures: cells of ours and of ncps, and the laws of time."""
