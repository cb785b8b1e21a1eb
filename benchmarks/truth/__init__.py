"""Whether what loadkit and other tools report is what happened: a packet capture on loopback is the judge."""
