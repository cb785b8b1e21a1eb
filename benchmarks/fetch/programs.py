"""The article's programs, written anew after their description, as files for an interpreter of their own."""

SINGLE = '''
"""One URL after the other, each with a connection of its own, each body under a unique name."""
import sys
import uuid

import requests

for url in open(sys.argv[1]).read().split("\\n"):
    if url:
        reply = requests.get(url, stream=True)
        with open(f"{sys.argv[2]}/{uuid.uuid1()}.json", "wb") as file:
            file.write(reply.content)
'''

THREADED = '''
"""The same in a pool of 20 threads; what goes wrong is printed."""
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed

import requests


def save(url, name):
    try:
        reply = requests.get(url, stream=True)
        with open(f"{sys.argv[2]}/{name}.json", "wb") as file:
            file.write(reply.content)
        return reply.status_code
    except requests.RequestException as error:
        return error


with ThreadPoolExecutor(max_workers=20) as pool:
    urls = [url for url in open(sys.argv[1]).read().split("\\n") if url]
    for task in as_completed([pool.submit(save, url, uuid.uuid1()) for url in urls]):
        task.result()
'''
