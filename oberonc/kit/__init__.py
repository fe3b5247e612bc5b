"""What brokers may use."""
