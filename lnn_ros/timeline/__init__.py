"""Stamps to intervals: what the network sees, ordered and cut by the sensors' own times."""
