"""What the architecture study is made of: cells of one size, jobs, their order, tables."""
