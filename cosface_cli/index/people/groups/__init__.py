"""Grouping the faces of an index: linkage, persons of the groups, and the page that shows them."""
