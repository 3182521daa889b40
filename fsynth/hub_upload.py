"""Putting an exported model on the hub: asked first, private unless told otherwise."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from fsynth import hub
from fsynth.console import say
from fsynth.errors import ConfigError, OutputError, reason

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check(name: str) -> None:
    """Refuse what cannot be uploaded, before anything is made.

    Raises:
        ConfigError: the name is not ORG/NAME, or nobody is logged in.
        OutputError: the hub cannot be reached.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--push-to-hub {name}: expected ORG/NAME, as hub repositories are called")
    from huggingface_hub import get_token

    if get_token() is None:
        raise ConfigError(
            "--push-to-hub: nobody is logged in to the hub; run `hf auth login` or set $HF_TOKEN"
        )
    if not hub.reachable():
        raise OutputError(
            "--push-to-hub: the hub cannot be reached; leave it out, and upload the folder where there is a "
            "network (`hf upload ORG/NAME FOLDER`)"
        )


def confirm(name: str, conditions: str, public: bool, yes: bool) -> None:
    """Say under whose terms the model stands, and ask, where there is somebody to ask.

    Raises:
        ConfigError: nobody is there, or the answer is no.
    """
    say(f"the model will be uploaded to {name}, {'for all to see' if public else 'private'}; {conditions}")
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError("nothing is uploaded before somebody agrees; add --yes")
    print("upload it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing is uploaded: the answer was no")


def upload(folder: Path, name: str, public: bool) -> str:
    """Upload a folder as a model's repository; returns its address.

    A repository that is there already keeps being private or public: one that all can see takes ``public``.

    Raises:
        OutputError: the hub refuses, or all can see what should be private. The folder stays.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = str(api.create_repo(name, private=not public, exist_ok=True, repo_type="model"))
        if not public and not _private(api, name):
            raise OutputError(
                f"{name} is there already, and all can see it; add --public, or take another name; the "
                f"export is in {folder}"
            )
        api.upload_folder(repo_id=name, folder_path=folder, repo_type="model", commit_message="Upload model")
    except OutputError:
        raise
    except Exception as error:  # the hub's client's own, httpx's and the operating system's kinds
        raise OutputError(
            f"the hub did not take {name} ({reason(error)}); the export is whole in {folder}: upload it with "
            f"`hf upload {name} {folder}`"
        ) from None
    return address


def _private(api: Any, name: str) -> bool:
    return bool(api.repo_info(name, repo_type="model").private)
