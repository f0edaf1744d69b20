"""Every setting of a run: schema, reading, errors, reference, starter file. Loads no Ray and no model library."""

from autodp_ray.config.run_config import Config, load_config

__all__ = ["Config", "load_config"]
