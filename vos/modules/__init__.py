"""The modules of the segmentation networks, one file per network, and the parts they share."""
