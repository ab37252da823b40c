"""Videos, clips and pair plans: everything up to the tensors that a network sees."""
