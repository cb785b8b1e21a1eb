"""Keeps time of test clients that call an application of this process: Django's and Flask's."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from loadkit.jobs.functional.clients.watch import Watch, Wrap


def of_django(_: Any) -> Wrap:
    """What keeps time of the handler that Django's test client calls."""

    def wrap(handler: Any) -> type:
        class CountedCalls(handler):  # type: ignore[misc]
            def __call__(self, environ: Any) -> Any:
                watch = Watch(environ["REQUEST_METHOD"], quote(environ["PATH_INFO"]))
                try:
                    response = super().__call__(environ)
                except BaseException as error:
                    watch.fail(error)
                    raise
                watch.end(response.status_code, 0 if response.streaming else len(response.content))
                return response

        return CountedCalls

    return wrap


def of_async_django(_: Any) -> Wrap:
    """The same of its async one."""

    def wrap(handler: Any) -> type:
        class CountedCalls(handler):  # type: ignore[misc]
            async def __call__(self, scope: Any) -> Any:
                watch = Watch(scope["method"], quote(scope["path"]))
                try:
                    response = await super().__call__(scope)
                except BaseException as error:
                    watch.fail(error)
                    raise
                watch.end(response.status_code, 0 if response.streaming else len(response.content))
                return response

        return CountedCalls

    return wrap


def of_flask(_: Any) -> Wrap:
    """What keeps time of Flask's test client."""

    def wrap(client: Any) -> type:
        class CountedClient(client):  # type: ignore[misc]
            def run_wsgi_app(self, environ: Any, *more: Any, **options: Any) -> Any:
                watch = Watch(environ["REQUEST_METHOD"], quote(environ["PATH_INFO"]))
                try:
                    answered = super().run_wsgi_app(environ, *more, **options)
                except BaseException as error:
                    watch.fail(error)
                    raise
                watch.end(int(answered[1].split()[0]))
                return answered

        return CountedClient

    return wrap
