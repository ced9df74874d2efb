"""litellm asks the network for prices when it is imported, unless told not to."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
