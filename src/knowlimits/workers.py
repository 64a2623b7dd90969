"""Where work is done: here, in processes beside this one, or on the machines of a Dask cluster."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Workers:
    """Who does pieces of work.

    Attributes:
        count: how many pieces are done at a time.
        submit: like `concurrent.futures.Executor.submit`.
        share: sends a value that many pieces need once; what it returns is given to `submit` in its place.
    """

    count: int
    submit: Callable[..., Future]
    share: Callable[[Any], Any]


class _Here(Executor):
    """Does every piece at once, in this process."""

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def workers(dask: str | None = None) -> Iterator[Workers]:
    """Workers to give work to.

    A piece whose worker dies is done by another; only one that has killed several is given up.

    Args:
        dask: None for this process; ``"local"`` for a process on each core; or the address of a Dask scheduler.

    Raises:
        ImportError: if Dask is not installed.
        OSError: if there is no scheduler at the address, or it has no workers.
    """
    if dask is None:
        yield Workers(1, _Here().submit, lambda value: value)
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ImportError("dask needs its own install: pip install 'know-your-limits[cluster]'.") from None
    if dask == "local":
        with LocalCluster(threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
            yield _of(client)
        return
    try:
        _knock(dask)
        client = Client(dask, timeout="10s")
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError, ImportError) as error:
        # Each kind of address has errors of its own kinds.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OSError(f"no Dask scheduler answers at {dask}: {reason}") from None
    with client:
        if not client.nthreads():
            raise OSError(f"the Dask scheduler at {dask} has no workers: start one with `dask worker {dask}`.")
        yield _of(client)


def _knock(address: str) -> None:
    """Raise unless somebody listens at an address: a client of Dask's that found nobody may hang when it is thrown away."""
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if scheme not in ("", "tcp", "tls") or not port.isdecimal():
        raise ValueError("an address is tcp://HOST:PORT or tls://HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _of(client: Any) -> Workers:
    # Shared values are results of tasks, which Dask makes again when the worker that has them dies; it does not for `scatter`.
    return Workers(sum(client.nthreads().values()), client.get_executor(pure=False).submit, lambda v: client.submit(_same, v))


def _same(value: Any) -> Any:
    return value
