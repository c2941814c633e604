"""Configurations as tests look at them."""

import importlib.util


def flat(config):
    """{"gan.ngf": 32, ...}"""
    return {
        f"{group}.{key}" if key else group: value
        for group, member in config.to_dict().items()
        for key, value in (
            member.items() if isinstance(member, dict) else [("", member)]
        )
    }


def load(path):
    """The module of a configuration file, as the flag loads it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
