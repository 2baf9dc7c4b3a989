"""Label Studio's ML backend protocol, on the same server."""
