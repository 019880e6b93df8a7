"""What a release makes of the checkout; each part runs without the platform, and a test runs it."""
