"""Every setting once, what it may be, and the settings that belong together."""
