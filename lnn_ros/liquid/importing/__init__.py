"""Networks that were trained with ncps or keras-ncp, taken over."""
