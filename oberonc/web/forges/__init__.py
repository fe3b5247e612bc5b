"""What forges send when somebody pushes: a file for each of them. `delivery` says how a
request proves who sent it, `push` what all of them are brought to, `fields` how their
JSON is read.
"""
