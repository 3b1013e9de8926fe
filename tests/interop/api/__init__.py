"""Checks of the API through its clients; `api_clients.py` runs them.

One file a family of operations, each with `check(api, site)`: `api` is the client and what is asserted of its answers (`checks`),
`site` the node and what there is for this client (`site`). `constraints` breaks what the service models say of requests,
`shapes` compares answers with them, `coverage` prints what was asserted of which operation. `cli` and `replay` are the AWS CLI's
and the API reference's part.
"""
