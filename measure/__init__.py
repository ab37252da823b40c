"""What a run is: preparing it, clips to features, features to estimates, its folder."""
