"""Two versions of a service: `loadkit compare scenarios/compared.py --against origin/main`."""

from loadkit import Endpoint, Scenario

visit = Scenario(
    # put your own command here, or name your application, "shop.app:app"; it is started from both versions
    server=["python", "-m", "loadkit", "demo", "--port", "{port}"],
    ready="/health",
    endpoints=[Endpoint("GET", "/"), Endpoint("GET", "/search", params={"q": "tea"})],
    threads=4,
)
