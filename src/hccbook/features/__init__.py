"""Features of the images: radiomics, deep features, harmonisation across centres, selection."""
