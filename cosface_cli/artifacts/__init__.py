"""The files on the seams, one format a file. README.md beside this one specifies them for other tools."""
