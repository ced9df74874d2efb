"""The folder that is written: built in a work folder, published as a whole."""
