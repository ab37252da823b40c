"""From features to numbers: store, moments, estimator, results and figures."""
