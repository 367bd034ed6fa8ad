"""`underfoot city`, `simulate` and `platform`: the simulators on the command line."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer
import uvicorn
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from simulators.city import City, CityError
from simulators.fleet import Fleet
from simulators.hazards import ScenarioError, load_scenario, shipped_scenarios
from simulators.load import Load, LoadError, load_frames, run_load
from simulators.message import clock_from
from simulators.misbehaviour import SHARES, Misbehaviour, MisbehaviourError
from simulators.plan import Plan, lay_out
from simulators.platform.access import Access
from simulators.platform.app import PlatformSettings, create_app
from simulators.play import Played, play
from simulators.play import Progress as RunProgress
from simulators.publisher import Publisher
from simulators.roster import RosterDevice, read_roster, roster_of
from simulators.summary import summary_of
from simulators.wire import WireError
from underfoot.families import FAMILIES
from underfoot.ledger.columns import LedgerError
from underfoot.settings import load
