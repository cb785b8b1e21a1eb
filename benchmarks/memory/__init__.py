"""Resident memory of loadkit: after ten times the requests, and with 5,000 threads.

Peak is VmHWM, resident is VmRSS of /proc/PID/status, read ten times a second; the last reading before the
process ends counts. loadkit is one process here, and so is its memory.
"""
