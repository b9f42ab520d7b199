"""HTML pages and plots that open from the disk, without network or other files."""
