"""What shifts do to pictures, and to what stands around: ``shifts.KINDS`` names them."""
