"""The durable queue: what the daemon has accepted and not yet ended.

`base` is the contract and knows no engine, `sqlite` the engine for one machine,
`writer` the one thread that calls it and lets requests share commits.
"""
