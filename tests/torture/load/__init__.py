"""Open-loop load and soak: requests arrive on schedule, whether or not the server keeps up.

traffic.py      requests of mixed sizes over both protocols, at a rate
readings.py     what the server says about itself: its event loop, its forecasts, its access log
levels.py       the part `load`: 10 to 300 % of the capacity
bystanders.py   idle and slow connections
soak.py         the part `soak`: an hour at 90 %
trend.py        growth of a figure over time, by regression
"""
