"""What the sequence benchmarks (xor, forecast, memory) share: cells, training, campaigns."""
