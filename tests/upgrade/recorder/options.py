"""Options of the recorded server."""

from upgrade.recorder.rest_calls import KEY

OPTIONS = ("--aliases", "other", "--api-keys", KEY, "--lanes", "1", "--provider", "cpu")
