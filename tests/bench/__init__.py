"""`make bench`: this server compared with its own engine and with peers, on one model and the same documents.

A system is one configuration of this server or of a peer. Read in this order:

    __main__             command line and output files
    options              sizes of the full and of the quick benchmark
    parts                parts that are measured one by one, and their files; duration estimates them
    systems, peers       all systems; running_systems are their processes, pool holds them with their measurements
    environments         a virtual environment for each peer, pinned by constraints/
    model                the model: random weights of a known shape
    run                  order of the measurements of a part; comparison and alone do them
    hidden_amx           NO_AMX=1
    processes            child processes, which always end with the benchmark
    runners/             one file for each peer, run by the peer's own Python
    figures/             one file for each figure
    performance_targets  figures and their targets, with peer_targets; results_page and chart show them

Rule: systems take turns. All others are stopped meanwhile (SIGSTOP), so each system has the whole machine.
"""
