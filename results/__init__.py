"""What a run leaves: the feature store, tables, figures, the study's file formats."""
