"""Show a robot's policy store: what flies, what has flown and why; promote, or roll back."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lnn_ros.errors import LnnError
from lnn_ros.learning.store import Store

ACTIONS = ("list", "show", "add", "promote", "rollback")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="the store")
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list",
                        help="list: policies and history; show: a policy's papers and lineage; "
                             "add: take a policy file; promote: let a policy fly; rollback: let "
                             "that fly which did before (default: %(default)s)")
    parser.add_argument("what", nargs="?", help="a policy's digest, or the beginning of it; for "
                                                "add: a file")
    parser.add_argument("--parent", help="digest of that which an added policy was made from")
    parser.add_argument("--why", default="by hand", help="sentence for the history")


def run(args: argparse.Namespace) -> int:
    """Do what is asked, and print what came of it."""
    if args.action in ("list", "show") and not args.folder.is_dir():
        raise LnnError(f"{args.folder}: no folder found, expected a policy store")
    needs = args.action in ("show", "add", "promote")
    if needs and args.what is None:
        raise LnnError(f"store {args.action}: nothing named, expected "
                       f"{'a file' if args.action == 'add' else 'a digest'}")
    if not needs and args.what is not None:
        raise LnnError(f"store {args.action}: {args.what!r} found, expected nothing after it")
    store = Store(args.folder)
    if args.action == "list":
        _list(store)
    elif args.action == "show":
        digest = store.find(args.what)
        papers = {"digest": digest, **store.papers(digest), "lineage": store.lineage(digest)}
        print(json.dumps(papers, indent=1))
    elif args.action == "add":
        parent = None if args.parent is None else store.find(args.parent)
        print(store.add(Path(args.what), parent))
    elif args.action == "promote":
        print(f"{store.promote(store.find(args.what), args.why).policy} flies")
    else:
        print(f"{store.rollback(args.why).policy} flies again")
    return 0


def _list(store: Store) -> None:
    """Print a line for each policy, for each change, for each failed trial, and what is next."""
    live = store.live
    for digest in store.digests():
        papers = store.papers(digest)
        parent = papers.get("parent")
        origin = f"from {parent[:12]}" if parent else "from outside"
        sys.stdout.write(f"{'*' if digest == live else ' '} {digest[:12]}  {papers['added']}  "
                         f"{origin}\n")
    for change in store.history():
        verb = "back to" if change.rollback else "to"
        sys.stdout.write(f"{change.time}  {verb} {change.policy[:12]}: {change.why}\n")
    for decision in store.decisions():
        if decision.get("trial") == "failed":
            sys.stdout.write(f"{decision['time']}  {decision['candidate'][:12]} failed its trial: "
                             f"{decision['said']}\n")
    waiting = store.waiting()
    if waiting is not None:
        sys.stdout.write(f"{waiting[:12]} was accepted, and waits for its trial in flight\n")
