"""Grouping the faces of an index: linkage, the persons of the groups, and the page that shows them."""
