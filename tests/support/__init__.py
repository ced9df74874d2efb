"""What many tests stand on."""
