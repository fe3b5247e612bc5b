"""The daemon: accepts payloads, keeps them in the queue, has them handled by brokers in
processes of their own.
"""
