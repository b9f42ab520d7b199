"""One figure or table of the paper a file: what is trained for it, its rows, and how it is drawn."""
