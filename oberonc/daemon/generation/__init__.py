"""Broker code as numbered snapshots, and how one takes over from another."""
