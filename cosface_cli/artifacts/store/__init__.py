"""The embedding store: one HDF5 file, the journal that grows it, several stores read as one."""
