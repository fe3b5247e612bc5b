"""The JSON value handed to brokers, and the filters that cut it for a service."""
