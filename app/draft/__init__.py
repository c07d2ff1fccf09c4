"""Destinations to start from, written from what others gave: a curl command, an OpenAPI document, a WSDL.

`shell` and `curl` read a command, `operation` a document; each gives a `Request`. `destination` makes settings and a mapping
of it, `writing` the YAML file, and `validity` sees that it loads; `soap` makes them of an operation of a WSDL. Nothing is
sent, and no secret that was found gets into the file.
"""
