"""Everything between the network's wish and the command."""
