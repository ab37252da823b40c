"""What every part may know: factors, tables of options, files, safe pickles, processes."""
