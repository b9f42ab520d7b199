"""Lists of pairs and of templates as the field publishes them: LFW, CSV tables, IJB."""
