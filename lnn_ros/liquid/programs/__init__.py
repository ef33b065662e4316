"""A cell's or policy's maths as a flat list of operations, and how it is run in numpy."""
