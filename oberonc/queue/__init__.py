"""The durable queue: what the daemon has accepted and not yet ended.

`contract` says what every engine promises about the `values` that go in and come out,
`engines` opens one by its URL, and `writer` is the one thread that calls it and lets
requests share commits. `breaker` is the part of the policy that only a queue has;
`sqlite` is the engine for one machine.
"""
