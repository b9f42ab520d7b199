"""Many crops or features in one file: RecordIO, WebDataset, InsightFace .bin, MegaFace .bin."""
