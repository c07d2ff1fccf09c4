"""Destinations to start from, written from what others gave: a curl command, an OpenAPI document.

`shell` and `curl` read a command, `openapi` a document; each gives a `Request`. `destination` makes settings and a mapping
of it, `writing` the YAML file. Nothing is sent, and no secret that was found gets into the file.
"""
