"""One training step and the loop around it: network, optimizer, learning rate, precision."""
