"""Stand-ins for Discord and Cloudflare on loopback, written from their documentation, for a first try and for tests."""
