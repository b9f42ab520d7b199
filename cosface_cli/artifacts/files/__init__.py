"""Files of any kind: atomic replacement, locks, journals, links, HDF5, byte search."""
