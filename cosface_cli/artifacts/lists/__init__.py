"""Published lists of pairs and of IJB templates: LFW, CSV tables, IJB-B and IJB-C."""
