"""What every part may know: the factors' names, tables of options, safe reading of pickles."""
