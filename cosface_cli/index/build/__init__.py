"""Writing an index: which rows of the stores it takes, and the segments that hold them."""
