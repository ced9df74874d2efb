"""`make bench`: this server beside its own engine and beside the peers, on one model and the same documents.

Read in this order:

    __main__      what is run, in which order, and what is written
    options       how much of it: the full run and the quick one
    contestants   who takes part, in which setting, and where it is installed
    environments  a virtual environment for each peer, pinned by constraints/
    model         the model: random weights of a known shape
    processes     what is started is ended
    runners/      a file a peer, run by that peer's own Python; they get requests and give seconds
    figures/      a file a figure
    table, picture

Rule: contestants take turns, and those that are not on turn are stopped (SIGSTOP), so that each has the whole machine.
"""
