"""verify.faces: embeddings by name, of photos and crops, of stores, and of feature files."""
