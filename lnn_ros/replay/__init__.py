"""A recorded bag through the pilot that flies: the same samples, the same commands."""
