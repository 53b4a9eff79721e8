"""
The blocking face of papa, as papa 1.0.6 had it: L{Papa} asks, and L{Watcher} reads what processes print.

Importing this loads the standard library only.
"""

from papa import utils
from papa.client.blocking import Papa, ProcessOutput, Watcher
from papa.client.streams import DEVNULL, PIPE, STDOUT
from papa.errors import Error

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "Error",
    "Papa",
    "ProcessOutput",
    "Watcher",
    "set_debug_mode",
    "set_default_connection_timeout",
    "set_default_path",
    "set_default_port",
    "utils",
]

__version__ = "2.0.0.dev0"

set_debug_mode = Papa.set_debug_mode
set_default_connection_timeout = Papa.set_default_connection_timeout
set_default_path = Papa.set_default_path
set_default_port = Papa.set_default_port
