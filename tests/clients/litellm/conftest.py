"""Settings of litellm: without this variable, its import downloads a price list."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
