"""asc-mrkd join-stores: join the stores of all shards."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.extract_features import print_store_size, say_known, say_missing_split
from asc_mrkd.cli.progress import show_progress


def join_stores(
    shards: Annotated[
        list[Path], typer.Argument(metavar="STORE", help="Feature stores made with --shard, all of them.")
    ],
    out: Annotated[Path, typer.Option(help="Feature store to write.")],
) -> None:
    """Join the stores of all shards into one, with the same bytes as a store extracted in one piece.

    Example: asc-mrkd join-stores exp/store-1 exp/store-2 --out exp/store
    """
    from asc_mrkd import store

    joined = store.join_stores(shards, out, show_progress)
    print_store_size(joined)
    say_missing_split(joined)
    say_known(joined)
