"""`make bench SCALE=1`: how time and throughput grow with documents, lengths, clients, lanes and models."""
