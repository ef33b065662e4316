"""How each scene's world is made, one module per scene; ``worlds.make_world`` chooses."""
