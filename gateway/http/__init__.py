"""The gateway's public HTTP interface.

`build_app` puts it over the gateway's services; `routes` is the one table that the application and
its published description (`openapi`) are made from.
"""

from gateway.http.app import build_app

__all__ = ["build_app"]
