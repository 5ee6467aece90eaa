"""The demo: a broker, a ledger and two gates on one machine, a dialer's day in under a minute."""
